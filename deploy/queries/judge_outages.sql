-- When a judge could not be reached or not be read, how often, and why.
-- Filter: WHERE judge = 'pairwise'; still_missing is what no later run had answered
SELECT judge, run_id, judgements, unavailable, unparsed, still_missing, commonest_reason, last_at
FROM judge_outages
ORDER BY last_at DESC, judge;
