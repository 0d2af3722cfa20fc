-- Cost of each stage: calls, tokens, dollars, seconds.
-- $run = %: a run's id, or its beginning, % for all
SELECT stage, sum(calls) AS calls, sum(prompt_tokens) AS prompt_tokens,
       sum(completion_tokens) AS completion_tokens, sum(cost_usd) AS cost_usd,
       sum(seconds) AS seconds
FROM stage_costs
WHERE run_id LIKE $run || '%'
GROUP BY stage
ORDER BY seconds DESC, stage;
