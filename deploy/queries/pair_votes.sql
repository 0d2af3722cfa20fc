-- How each judge sees one pair, with both texts and the reasons given.
-- $pair: the pair's id, from pairs or pair_texts
SELECT judge, judge_version, is_counted, margin, left_score, right_score, left_when_first,
       left_when_second, rationale, label, prompt, left_text, right_text
FROM pair_votes
WHERE pair_id = $pair
ORDER BY is_counted DESC, judge, judge_version;
