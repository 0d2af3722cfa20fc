-- What rests on something retracted.

CREATE OR REPLACE VIEW tainted_rankings AS
SELECT rankings.id AS ranking_id, subject_table, subject_id
FROM rankings JOIN retracted ON subject_table = 'prompts' AND subject_id = rankings.prompt_id
UNION ALL
SELECT rankings.id, subject_table, subject_id
FROM retracted
JOIN candidates ON subject_table = 'candidates' AND candidates.id = subject_id
JOIN rankings ON rankings.prompt_id = candidates.prompt_id
    AND list_contains(rankings.candidate_ids, candidates.id)
UNION ALL
SELECT DISTINCT rankings.id, subject_table, subject_id
FROM retracted_judgements
JOIN rankings ON rankings.prompt_id = retracted_judgements.prompt_id
    AND list_contains(rankings.judgement_ids, judgement_id)
WHERE subject_table IN ('judgements', 'judge_versions');
COMMENT ON VIEW tainted_rankings IS
    'Rankings that rest on something retracted. No training reads them any more; `solon run` '
    'ranks the rest again.';
COMMENT ON COLUMN tainted_rankings.ranking_id IS 'rankings.id.';
COMMENT ON COLUMN tainted_rankings.subject_table IS 'The retracted fact.';
COMMENT ON COLUMN tainted_rankings.subject_id IS 'The retracted fact.';

CREATE OR REPLACE VIEW tainted_pairs AS
SELECT pairs.id AS pair_id, pairs.ranking_id, subject_table, subject_id
FROM pairs JOIN retracted ON subject_table = 'pairs' AND subject_id = pairs.id
UNION ALL
SELECT pairs.id, pairs.ranking_id, subject_table, subject_id
FROM pairs JOIN retracted ON subject_table = 'prompts' AND subject_id = pairs.prompt_id
UNION ALL
SELECT pairs.id, pairs.ranking_id, subject_table, subject_id
FROM pairs JOIN retracted ON subject_table = 'candidates' AND subject_id = pairs.left_id
UNION ALL
SELECT pairs.id, pairs.ranking_id, subject_table, subject_id
FROM pairs JOIN retracted ON subject_table = 'candidates' AND subject_id = pairs.right_id
UNION ALL
SELECT DISTINCT pairs.id, pairs.ranking_id, subject_table, subject_id
FROM retracted_judgements
JOIN pairs ON pairs.prompt_id = retracted_judgements.prompt_id
    AND list_contains(pairs.judgement_ids, judgement_id)
WHERE subject_table IN ('judgements', 'judge_versions');
COMMENT ON VIEW tainted_pairs IS
    'Pairs that are retracted or rest on a retracted judgement, candidate or prompt.';
COMMENT ON COLUMN tainted_pairs.pair_id IS 'pairs.id.';
COMMENT ON COLUMN tainted_pairs.ranking_id IS 'rankings.id of its ranking.';
COMMENT ON COLUMN tainted_pairs.subject_table IS 'The retracted fact.';
COMMENT ON COLUMN tainted_pairs.subject_id IS 'The retracted fact.';

CREATE OR REPLACE VIEW tainted_inputs AS
SELECT model_inputs.model_id, input_table, input_id, subject_table, subject_id
FROM model_inputs
JOIN tainted_rankings ON input_table = 'rankings' AND ranking_id = input_id
UNION ALL
SELECT model_inputs.model_id, input_table, input_id, subject_table, subject_id
FROM retracted
JOIN pairs ON subject_table = 'pairs' AND pairs.id = subject_id
JOIN model_inputs ON input_table = 'rankings' AND input_id = pairs.ranking_id
ANTI JOIN (SELECT model_id, input_id AS pair_id FROM model_inputs WHERE role = 'left_out') AS spared
    ON spared.model_id = model_inputs.model_id AND spared.pair_id = pairs.id
UNION ALL
SELECT model_inputs.model_id, input_table, input_id, subject_table, subject_id
FROM model_inputs
JOIN retracted ON input_table = 'prompts' AND subject_table = 'prompts' AND subject_id = input_id
UNION ALL
SELECT model_inputs.model_id, input_table, input_id, subject_table, subject_id
FROM retracted
JOIN revisions ON subject_table = 'prompts' AND revisions.prompt_id = subject_id
JOIN model_inputs ON input_table = 'revisions' AND input_id = revisions.id
UNION ALL
SELECT model_inputs.model_id, input_table, input_id, subject_table, subject_id
FROM model_inputs
JOIN retracted_judgements ON input_table = 'judgements' AND judgement_id = input_id
UNION ALL
SELECT model_id, 'judge_versions', judge_version, subject_table, subject_id
FROM model_judges
JOIN retracted ON role = 'reward' AND subject_table = 'judge_versions'
    AND subject_id = judge_version;
COMMENT ON VIEW tainted_inputs IS
    'Inputs of a model that are retracted or rest on something retracted, without pairs that it '
    'left out.';
COMMENT ON COLUMN tainted_inputs.model_id IS 'models.id.';
COMMENT ON COLUMN tainted_inputs.input_table IS
    'Table of the input: as in model_inputs, or judge_versions for a judge inside its reward.';
COMMENT ON COLUMN tainted_inputs.input_id IS 'Id of the input.';
COMMENT ON COLUMN tainted_inputs.subject_table IS 'The retracted fact.';
COMMENT ON COLUMN tainted_inputs.subject_id IS 'The retracted fact.';

CREATE OR REPLACE VIEW tainted_models AS
WITH own AS (
    SELECT model_id, count(DISTINCT input_id) AS rows FROM tainted_inputs GROUP BY model_id
)
SELECT model_ancestry.model_id, models.kind,
       coalesce(sum(own.rows) FILTER (own.model_id = model_ancestry.model_id), 0)::BIGINT AS own_rows,
       coalesce(sum(own.rows) FILTER (own.model_id <> model_ancestry.model_id), 0)::BIGINT
           AS inherited_rows
FROM own
JOIN model_ancestry ON ancestor_id = own.model_id
JOIN models ON models.id = model_ancestry.model_id
GROUP BY model_ancestry.model_id, models.kind;
COMMENT ON VIEW tainted_models IS
    'Models that learnt, directly or through a model behind them, from anything that is tainted.';
COMMENT ON COLUMN tainted_models.model_id IS 'models.id.';
COMMENT ON COLUMN tainted_models.kind IS 'models.kind.';
COMMENT ON COLUMN tainted_models.own_rows IS
    'Number of such rows that it itself learnt from; 0 if only models behind it did.';
COMMENT ON COLUMN tainted_models.inherited_rows IS
    'Number of such rows that the models behind it learnt from; a row that two of them learnt '
    'from counts twice.';
