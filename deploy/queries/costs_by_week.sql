-- Cost of models and judges, week by week: calls, tokens, dollars.
-- $what = %: sampling, judging, rewarding or revising, % for all
SELECT week, what, who, calls, prompt_tokens, completion_tokens, cost_usd
FROM costs_by_week
WHERE what LIKE $what
ORDER BY week DESC, cost_usd DESC, what, who;
