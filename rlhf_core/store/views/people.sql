-- Verdicts of people on pairs, and how judges compare with them.

CREATE OR REPLACE VIEW human_verdicts AS
SELECT id, pair_id, prompt_id, left_id, right_id, person, verdict,
       CASE verdict WHEN 'left' THEN 1 WHEN 'right' THEN -1 WHEN 'tie' THEN 0 END AS preference,
       note, strategy, shown_left, seconds, round, created_at AS checked_at
FROM spot_checks
QUALIFY row_number() OVER (
    PARTITION BY left_id, right_id, person ORDER BY round DESC, created_at DESC, id DESC
) = 1;
COMMENT ON VIEW human_verdicts IS
    'The current verdict of each person on each two candidates: SELECT verdict, count(*) FROM '
    'human_verdicts GROUP BY ALL.';
COMMENT ON COLUMN human_verdicts.preference IS
    '1 for the left candidate, -1 for the right, 0 for a tie, null for unsure.';
COMMENT ON COLUMN human_verdicts.checked_at IS 'Time of the person''s last verdict.';

CREATE OR REPLACE VIEW judge_human_votes AS
-- Margins as pairing takes them: of two scores, or of a contest that was readable in both orders.
WITH scores AS (
    SELECT verdicts.id, one.judge, one.judge_version, one.score - other.score AS margin
    FROM human_verdicts AS verdicts
    JOIN opinions AS one ON one.candidate_id = verdicts.left_id AND one.presented = 'alone'
    JOIN opinions AS other ON other.candidate_id = verdicts.right_id
        AND other.presented = 'alone' AND other.judge_version = one.judge_version
), contests AS (
    SELECT verdicts.id, judge, judge_version, 2 * probability - 1 AS margin
    FROM human_verdicts AS verdicts
    JOIN opinions ON candidate_id = verdicts.left_id AND opponent_id = verdicts.right_id
    UNION ALL
    SELECT verdicts.id, judge, judge_version, 1 - 2 * probability
    FROM human_verdicts AS verdicts
    JOIN opinions ON candidate_id = verdicts.right_id AND opponent_id = verdicts.left_id
), votes AS (
    SELECT id, 'judge' AS source, judge, judge_version, margin FROM scores
    UNION ALL
    SELECT id, 'judge', judge, judge_version, avg(margin) FROM contests
    GROUP BY id, judge, judge_version HAVING count(*) = 2
    UNION ALL
    SELECT verdicts.id, 'label', NULL, NULL,
           -- An imported label may have no margin.
           CASE WHEN outcome = 'tie' THEN 0 WHEN chosen_id = verdicts.left_id
                THEN coalesce(margin, 1) ELSE -coalesce(margin, 1) END
    FROM human_verdicts AS verdicts JOIN pairs ON pairs.id = verdicts.pair_id
    WHERE outcome <> 'unscored'
)
SELECT verdicts.id AS check_id, verdicts.pair_id, verdicts.prompt_id, verdicts.person,
       verdicts.strategy, verdicts.checked_at, source, judge, judge_version, verdict, preference,
       margin, CASE WHEN preference <> 0 AND margin <> 0
                    THEN (sign(preference) = sign(margin))::INTEGER END AS agrees
FROM votes JOIN human_verdicts AS verdicts USING (id);
COMMENT ON VIEW judge_human_votes IS
    'Each verdict of a person beside the vote of each judge, and the final label, on the same '
    'pair.';
COMMENT ON COLUMN judge_human_votes.source IS
    'judge, or label: the pair''s outcome by all judges together.';
COMMENT ON COLUMN judge_human_votes.margin IS
    'Margin of the left candidate by the judge or label, -1 to 1; 0 is a tie.';
COMMENT ON COLUMN judge_human_votes.agrees IS
    '1 if both prefer the same candidate, 0 if not, null if either has no preference.';

CREATE OR REPLACE VIEW judge_human_agreement AS
SELECT source, judge, judge_version, count(*) AS checks, count(agrees) AS decided,
       sum(agrees)::BIGINT AS agreed, avg(agrees) AS agreement,
       count(*) FILTER (preference = 0) AS person_tied,
       count(*) FILTER (margin = 0 AND preference <> 0) AS judge_tied,
       count(*) FILTER (preference IS NULL) AS person_unsure
FROM judge_human_votes GROUP BY source, judge, judge_version;
COMMENT ON VIEW judge_human_agreement IS
    'How often each judge version, and the final label, agrees with people: SELECT judge, '
    'decided, agreement FROM judge_human_agreement. Intervals: `solon spot-check --report`.';
COMMENT ON COLUMN judge_human_agreement.checks IS
    'Number of verdicts of people on pairs that it has a vote on.';
COMMENT ON COLUMN judge_human_agreement.decided IS 'Verdicts where both have a preference.';
COMMENT ON COLUMN judge_human_agreement.agreed IS 'Verdicts where both have the same preference.';
COMMENT ON COLUMN judge_human_agreement.agreement IS 'agreed / decided; 0.5 by chance.';
COMMENT ON COLUMN judge_human_agreement.judge_tied IS
    'Verdicts where the person prefers one and the judge neither.';
