-- Votes of the judges on one pair, with both texts and the reasons.
-- $pair = %: a pair's id as in pair_texts, or its beginning; % for any
SELECT pair_id, judge, judge_version, is_counted, margin, left_score, right_score, left_when_first,
       left_when_second, rationale, label, prompt, left_text, right_text
FROM pair_votes
WHERE pair_id LIKE $pair || '%'
ORDER BY pair_id, is_counted DESC, judge, judge_version
LIMIT 100;
