-- Cost of each judge: judgements, tokens, dollars, seconds.
-- $run = %: a run's id, or its beginning, % for all
SELECT judge, judge_version, sum(judgements) AS judgements, sum(prompt_tokens) AS prompt_tokens,
       sum(completion_tokens) AS completion_tokens, sum(cost_usd) AS cost_usd,
       sum(seconds) AS seconds
FROM judge_costs
WHERE run_id LIKE $run || '%'
GROUP BY judge, judge_version
ORDER BY cost_usd DESC, seconds DESC, judge_version;
