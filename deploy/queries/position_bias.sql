-- How often each judge chose the answer shown first, week by week; 0.5 is fair.
-- $judge = %: a judge's name, % for any
SELECT week, judge, judge_version, comparisons, chose_first, chose_second, mean_probability
FROM position_bias_by_week
WHERE judge LIKE $judge
ORDER BY judge, judge_version, week;
