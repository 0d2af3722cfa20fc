-- Votes of judges on pairs. They are opinions, which leave out what was retracted. A filter by id or
-- judge reaches the tables, since groups keep the columns that one filters by.

CREATE OR REPLACE VIEW judge_contests AS
SELECT forward.judge, forward.judge_version, forward.prompt_id, forward.candidate_id AS left_id,
       forward.opponent_id AS right_id, coalesce(forward.probability, 0.5) AS left_when_first,
       1 - coalesce(reversed.probability, 0.5) AS left_when_second,
       forward.outcome = reversed.outcome AND forward.outcome <> 'tie' AS is_flipped,
       nullif(concat_ws(' | ', forward.reason, reversed.reason), '') AS rationale,
       forward.created_at AS judged_at
FROM opinions AS forward
JOIN opinions AS reversed
    ON reversed.candidate_id = forward.opponent_id AND reversed.opponent_id = forward.candidate_id
    AND reversed.judge_version = forward.judge_version
WHERE forward.presented = 'forward' AND forward.outcome IN ('first', 'second', 'tie')
    AND reversed.presented = 'reversed' AND reversed.outcome IN ('first', 'second', 'tie');
COMMENT ON VIEW judge_contests IS
    'Contests: comparisons of two candidates by one judge in both orders, without those that have '
    'an opinion in one order only. SELECT judge_version, avg(is_flipped::INTEGER) FROM '
    'judge_contests GROUP BY 1';
COMMENT ON COLUMN judge_contests.left_when_first IS
    'Probability that left is better when shown first.';
COMMENT ON COLUMN judge_contests.left_when_second IS
    'Probability that left is better when shown second.';
COMMENT ON COLUMN judge_contests.is_flipped IS 'True if the same position won in both orders.';

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
    'The vote of each judge on each pair, from two scores or from a contest in both orders, as in '
    'the making of pairs; an imported label counts with its one order: SELECT judge, margin, '
    'rationale FROM judge_votes WHERE pair_id = ''…''';
COMMENT ON COLUMN judge_votes.margin IS 'Margin of the left candidate, -1 to 1.';
COMMENT ON COLUMN judge_votes.label IS 'Outcome of the pair: left, right, tie or unscored.';
COMMENT ON COLUMN judge_votes.is_counted IS
    'True if the pair was made from this judge version; others judged the same candidates.';
COMMENT ON COLUMN judge_votes.left_when_first IS
    'Probability that left is better when shown first.';
COMMENT ON COLUMN judge_votes.left_when_second IS
    'Probability that left is better when shown second.';
COMMENT ON COLUMN judge_votes.rationale IS
    'The judge''s reasons, if any; that for left, or of the forward order, comes first.';

CREATE OR REPLACE VIEW pair_votes AS
SELECT vote.pair_id, vote.prompt_id, prompts.text AS prompt, one.text AS left_text,
       other.text AS right_text, vote.label, vote.judge, vote.judge_version, vote.is_counted,
       vote.margin, vote.left_score, vote.right_score, vote.left_when_first, vote.left_when_second,
       vote.rationale, vote.judged_at
FROM judge_votes AS vote
JOIN prompts ON prompts.id = vote.prompt_id
JOIN candidates AS one ON one.id = vote.left_id
JOIN candidates AS other ON other.id = vote.right_id;
COMMENT ON VIEW pair_votes IS
    'A pair with both texts and all its votes, a row a judge version: SELECT * FROM pair_votes '
    'WHERE pair_id = ''…''. Columns as in judge_votes.';

CREATE OR REPLACE VIEW dissenting_votes AS
SELECT pair_id, prompt_id, judge, judge_version, is_counted, label, margin, left_id, right_id,
       rationale, judged_at
FROM judge_votes
WHERE (label = 'left' AND margin < 0) OR (label = 'right' AND margin > 0);
COMMENT ON VIEW dissenting_votes IS
    'Votes of judges for the rejected candidate: SELECT * FROM dissenting_votes WHERE judge = '
    '''rubric'' ORDER BY abs(margin) DESC LIMIT 20. margin as in judge_votes.';

CREATE OR REPLACE VIEW jury_members AS
WITH juries AS (
    SELECT id, prompt_id, judge, judge_version, candidate_id, opponent_id, outcome, probability,
           unnest(from_json(raw_output::JSON -> 'members', '[{"name": "VARCHAR", '
               '"outcome": "VARCHAR", "probability": "DOUBLE", "reason": "VARCHAR"}]')) AS member
    FROM judgements WHERE raw_output LIKE '{"members":%'
)
SELECT id AS judgement_id, prompt_id, judge, judge_version, candidate_id, opponent_id, outcome,
       probability, member.name AS member, member.outcome AS member_outcome,
       member.probability AS member_probability, member.reason AS member_reason,
       outcome IN ('first', 'second') AND member.outcome IN ('first', 'second')
           AND member.outcome <> outcome AS is_overruled
FROM juries;
COMMENT ON VIEW jury_members IS
    'The verdict of each member of a jury beside that of the jury: SELECT member, '
    'avg(is_overruled::INTEGER) FROM jury_members WHERE judge_version = ''…'' GROUP BY 1';
COMMENT ON COLUMN jury_members.probability IS
    'The jury''s probability that candidate_id, shown first, is better.';
COMMENT ON COLUMN jury_members.is_overruled IS
    'True if the member preferred one candidate and the jury the other.';

CREATE OR REPLACE VIEW judge_agreement AS
-- A pair's votes become one list of numbers; there are few different lists, and only those are
-- crossed, where joining votes to votes would make fifteen rows a pair of six judges.
WITH versions AS (
    SELECT judge_version, any_value(judge) AS judge,
           row_number() OVER (ORDER BY judge_version) AS place
    FROM judgements GROUP BY judge_version
), ballots AS (
    SELECT list(3 * place + 1 + sign(margin)::INTEGER) AS votes
    FROM judge_votes JOIN versions ON versions.judge_version = judge_votes.judge_version
    GROUP BY pair_id
), patterns AS (
    SELECT votes, count(*) AS n FROM ballots GROUP BY votes
), ones AS (
    SELECT votes, n, unnest(votes) AS vote FROM patterns
), crossed AS (
    SELECT vote // 3 AS place, vote % 3 - 1 AS side, n, unnest(votes) AS other_vote FROM ones
), counted AS (
    SELECT place, other_vote // 3 AS other_place,
           sum(n * (side <> 0 AND other_vote % 3 <> 1)::INTEGER)::BIGINT AS pairs,
           sum(n * (side <> 0 AND other_vote % 3 - 1 = side)::INTEGER)::BIGINT AS agreed,
           sum(n)::BIGINT AS judged
    FROM crossed WHERE place < other_vote // 3 GROUP BY place, other_place
)
SELECT one.judge_version AS judge, other.judge_version AS other_judge, pairs,
       agreed / pairs AS agreement, one.judge AS judge_name, other.judge AS other_judge_name,
       judged - pairs AS undecided
FROM counted
JOIN versions AS one ON one.place = counted.place
JOIN versions AS other ON other.place = counted.other_place
WHERE pairs > 0;
COMMENT ON VIEW judge_agreement IS
    'Judge version against judge version, over the pairs on which both prefer one candidate: '
    'SELECT * FROM judge_agreement WHERE judge_name = ''rubric'' ORDER BY agreement';
COMMENT ON COLUMN judge_agreement.agreement IS
    'Share of these pairs on which they prefer the same candidate.';
COMMENT ON COLUMN judge_agreement.undecided IS
    'Pairs that both judged and on which one was undecided.';

CREATE OR REPLACE VIEW intransitive_pairs AS
SELECT id AS pair_id, prompt_id, ranking_id, chosen_id, rejected_id, margin,
       CASE WHEN chosen_id = left_id THEN model_margin ELSE -model_margin END AS model_margin,
       agreement, judge_versions, config_hash, run_id
FROM pairs
WHERE outcome = 'preferred'
    AND CASE WHEN chosen_id = left_id THEN model_margin ELSE -model_margin END <= 0;
COMMENT ON VIEW intransitive_pairs IS
    'Pairs whose chosen candidate is not above the rejected one in the ranking, since other votes '
    'on the prompt outweigh the vote on the two, which is the label used in training: SELECT * '
    'FROM intransitive_pairs ORDER BY margin - model_margin DESC';
COMMENT ON COLUMN intransitive_pairs.margin IS 'Margin of the label, as in pairs.';
COMMENT ON COLUMN intransitive_pairs.model_margin IS
    'Margin of chosen over rejected by the ranking, 0 or below.';
