-- Votes of judges for the rejected candidate, the firmest first.
-- $judge = %: a judge's name, % for any
SELECT vote.judge, vote.is_counted, vote.margin, vote.label, prompts.text AS prompt,
       one.text AS left_text, other.text AS right_text, vote.rationale, vote.pair_id
FROM (
    SELECT * FROM dissenting_votes WHERE judge LIKE $judge ORDER BY abs(margin) DESC, pair_id LIMIT 20
) AS vote
JOIN prompts ON prompts.id = vote.prompt_id
JOIN candidates AS one ON one.id = vote.left_id
JOIN candidates AS other ON other.id = vote.right_id
ORDER BY abs(vote.margin) DESC, vote.pair_id;
