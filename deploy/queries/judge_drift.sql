-- How far two versions of one judge differ on the same candidates.
-- $judge = %: a judge's name, % for any
SELECT judge, judge_version, later_judge_version, candidates, mean_shift, mean_change, correlation
FROM judge_drift
WHERE judge LIKE $judge
ORDER BY mean_change DESC, judge_version;
