-- When a judge was unavailable or could not be parsed, how often, and why.
-- Filter: WHERE judge = 'pairwise'; still_missing counts what no later run has answered
SELECT judge, run_id, judgements, unavailable, unparsed, still_missing, commonest_reason, last_at
FROM judge_outages
ORDER BY last_at DESC, judge;
