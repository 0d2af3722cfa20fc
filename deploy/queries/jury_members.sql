-- How often each member of a jury was overruled by the others.
-- $judge = %: the jury's name, % for any
SELECT judge, judge_version, member, count(*) AS verdicts,
       count(*) FILTER (member_outcome IN ('first', 'second')) AS preferences,
       avg(is_overruled::INTEGER) AS overruled_share
FROM jury_members
WHERE judge LIKE $judge
GROUP BY judge, judge_version, member
ORDER BY overruled_share DESC, judge_version, member;
