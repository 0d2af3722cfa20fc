-- A label that came from elsewhere is a vote too, though nobody was shown the other order.

CREATE OR REPLACE VIEW judge_votes AS
WITH labelled AS (
    SELECT *, CASE WHEN outcome <> 'preferred' THEN outcome WHEN chosen_id = left_id THEN 'left'
                   ELSE 'right' END AS label
    FROM pairs
), told AS (
    SELECT *, coalesce(2 * probability - 1, CASE outcome WHEN 'first' THEN 1 WHEN 'second' THEN -1
                                            ELSE 0 END) AS margin
    FROM opinions WHERE judge_version LIKE 'external-%' AND opponent_id IS NOT NULL
)
SELECT pair.id AS pair_id, one.judge_version,
       coalesce(one.score, 0) - coalesce(other.score, 0) AS margin, one.judge, pair.prompt_id,
       pair.left_id, pair.right_id, pair.label,
       list_contains(pair.judge_versions, one.judge_version) AS is_counted,
       one.score AS left_score, other.score AS right_score,
       NULL::DOUBLE AS left_when_first, NULL::DOUBLE AS left_when_second,
       nullif(concat_ws(' | ', one.reason, other.reason), '') AS rationale,
       one.created_at AS judged_at
FROM labelled AS pair
JOIN opinions AS one ON one.candidate_id = pair.left_id
JOIN opinions AS other
    ON other.candidate_id = pair.right_id AND other.judge_version = one.judge_version
WHERE one.presented = 'alone' AND one.outcome = 'scored'
    AND other.presented = 'alone' AND other.outcome = 'scored'
UNION ALL
SELECT pair.id, contest.judge_version, left_when_first + left_when_second - 1, contest.judge,
       pair.prompt_id, pair.left_id, pair.right_id, pair.label,
       list_contains(pair.judge_versions, contest.judge_version), NULL, NULL,
       left_when_first, left_when_second, rationale, judged_at
FROM labelled AS pair
JOIN judge_contests AS contest
    ON contest.left_id = pair.left_id AND contest.right_id = pair.right_id
UNION ALL
SELECT pair.id, told.judge_version, told.margin, told.judge, pair.prompt_id, pair.left_id,
       pair.right_id, pair.label, list_contains(pair.judge_versions, told.judge_version), NULL, NULL,
       NULL, NULL, told.reason, told.created_at
FROM labelled AS pair
JOIN told ON told.candidate_id = pair.left_id AND told.opponent_id = pair.right_id
UNION ALL
SELECT pair.id, told.judge_version, -told.margin, told.judge, pair.prompt_id, pair.left_id,
       pair.right_id, pair.label, list_contains(pair.judge_versions, told.judge_version), NULL, NULL,
       NULL, NULL, told.reason, told.created_at
FROM labelled AS pair
JOIN told ON told.candidate_id = pair.right_id AND told.opponent_id = pair.left_id;
COMMENT ON VIEW judge_votes IS
    'How each judge sees each pair, from two scores or from a contest in both orders, as pairs are '
    'made; of an imported label there is one order, and it counts: '
    'SELECT judge, margin, rationale FROM judge_votes WHERE pair_id = ''…''';
COMMENT ON COLUMN judge_votes.margin IS 'By how much the left candidate is preferred, -1 to 1.';
COMMENT ON COLUMN judge_votes.label IS 'What the pair came to: left, right, tie or unscored.';
COMMENT ON COLUMN judge_votes.is_counted IS
    'Whether this judge version is one the pair was made from; others judged the same candidates.';
COMMENT ON COLUMN judge_votes.left_when_first IS 'Probability that left is better, as shown first.';
COMMENT ON COLUMN judge_votes.left_when_second IS 'Probability that left is better, as shown second.';
COMMENT ON COLUMN judge_votes.rationale IS 'The reasons given, left or forward first, where there are any.';
