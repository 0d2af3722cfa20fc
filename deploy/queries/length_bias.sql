-- How often each judge preferred the longer answer, week by week; 0.5 is fair.
-- $judge = %: a judge's name, % for any
SELECT week, judge, judge_version, pairs, longer_preferred
FROM length_bias_by_week
WHERE judge LIKE $judge
ORDER BY judge, judge_version, week;
