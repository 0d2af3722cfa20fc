-- Labels of what judges say of two answers themselves; orders of Bradley-Terry strengths.

ALTER TABLE rankings ADD COLUMN parts INTEGER[];
ALTER TABLE pairs ADD COLUMN model_margin DOUBLE;

COMMENT ON COLUMN rankings.utilities IS
    'How good each is, best first, in the order of candidate_ids: tanh(s / 2) of its Bradley-Terry '
    'strength s in log-odds, fitted to all that judges compared; -1 to 1, 0 is average. P(one is better '
    'than another) = (1 + (u - v) / (1 - u * v)) / 2. Before migration 19: mean margin.';
COMMENT ON COLUMN rankings.parts IS
    'Part of each candidate, where judges compared no candidate of one part with any of another, not '
    'even by way of others: the order of two parts means nothing. Null where all are one part.';
COMMENT ON COLUMN pairs.outcome IS
    'preferred, tie (margin at most preferences.tie_margin, or the same answer) or unscored (no judge '
    'compared the two, whatever follows from other pairs).';
COMMENT ON COLUMN pairs.margin IS
    '2 P - 1, where P is the probability that the chosen one is better by the judges'' own comparison of '
    'the two, however many candidates there are; null where unscored. 0 to 1; 0 to 2 of imported pairs. '
    'Before migration 19 (model_margin is null): the difference of utilities, 0 to 2 - 2/K.';
COMMENT ON COLUMN pairs.model_margin IS
    'The same of left over right by the strengths of the ranking, -1 to 1; it trains nothing. Where it '
    'does not side with the label, the votes on the prompt are intransitive: see intransitive_pairs.';

CREATE OR REPLACE VIEW check_margins AS
SELECT 'margin' AS what, id, coalesce(margin::VARCHAR, 'none') || ' of a pair ' || outcome AS detail
FROM pairs
WHERE NOT coalesce(margin BETWEEN 0 AND 2, outcome = 'unscored' OR len(judgement_ids) = 0)
UNION ALL
SELECT 'margin', wide.id, wide.margin || ' in a ranking of ' || len(rankings.candidate_ids)
FROM (
    SELECT id, ranking_id, margin, model_margin FROM pairs
    WHERE margin > 1 + 1e-9 AND margin <= 2
) AS wide
JOIN rankings ON rankings.id = wide.ranking_id
WHERE rankings.recipe NOT LIKE 'external-%'
    AND wide.margin > CASE WHEN model_margin IS NULL
                           THEN 2 - 2.0 / len(rankings.candidate_ids) ELSE 1 END + 1e-9
UNION ALL
SELECT 'model_margin', id, model_margin::VARCHAR FROM pairs
WHERE NOT coalesce(model_margin BETWEEN -1 AND 1, true)
UNION ALL
SELECT 'agreement', id, agreement::VARCHAR FROM pairs
WHERE NOT coalesce(agreement BETWEEN 0 AND 1, true);
COMMENT ON VIEW check_margins IS
    'error: A margin is missing, or outside 0 to 1 (0 to 2 of imported pairs, 0 to 2 - 2/K of those made '
    'before migration 19), or a model_margin outside -1 to 1, or an agreement is not a share. Losses with '
    'a margin would be wrong; find out which code version wrote it.';

COMMENT ON VIEW check_unfounded_preferences IS
    'warning: A preference between two candidates that no judge compared. Versions before migration 19 '
    'made such labels from places in the ranking; pair again, with solon run, before training on them.';
COMMENT ON VIEW check_identical_texts IS
    'warning: A pair prefers a text to the same text, which is a tie by definition unless one of the two '
    'was cut off. Versions before migration 19 let a judge''s noise decide; pair again, with solon run.';

CREATE VIEW intransitive_pairs AS
SELECT id AS pair_id, prompt_id, ranking_id, chosen_id, rejected_id, margin,
       CASE WHEN chosen_id = left_id THEN model_margin ELSE -model_margin END AS model_margin,
       agreement, judge_versions, config_hash, run_id
FROM pairs
WHERE outcome = 'preferred'
    AND CASE WHEN chosen_id = left_id THEN model_margin ELSE -model_margin END <= 0;
COMMENT ON VIEW intransitive_pairs IS
    'Pairs whose chosen candidate does not stand above the rejected one in the ranking, since other '
    'votes on the prompt outweigh the vote on the two, which is the label that trains: '
    'SELECT * FROM intransitive_pairs ORDER BY margin - model_margin DESC';
COMMENT ON COLUMN intransitive_pairs.margin IS 'Of the label, as in pairs.';
COMMENT ON COLUMN intransitive_pairs.model_margin IS 'Of chosen over rejected by the ranking, 0 or below.';
