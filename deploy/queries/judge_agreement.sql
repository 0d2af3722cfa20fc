-- How often each two judges prefer the same candidate of a pair.
-- Filter: WHERE judge_name = 'rubric'
SELECT judge_name, judge, other_judge_name, other_judge, pairs, agreement, undecided
FROM judge_agreement
ORDER BY agreement, judge, other_judge;
