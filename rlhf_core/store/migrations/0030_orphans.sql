-- What is left out of an import, and found in it, names the import where else a prompt set is named.

-- Hashes of ids alone are compared, first of all a column's, then of the rows with one that is not
-- there, if any: no text is read where all is well, and one orphan in 10^12 may be missed.
CREATE OR REPLACE VIEW check_orphans AS
WITH candidates_known AS MATERIALIZED (SELECT hash(id) AS h FROM candidates),
configs_known AS MATERIALIZED (SELECT hash(config_hash) AS h FROM configs),
judgements_known AS MATERIALIZED (SELECT hash(id) AS h FROM judgements),
models_known AS MATERIALIZED (SELECT hash(id) AS h FROM models),
pairs_known AS MATERIALIZED (SELECT hash(id) AS h FROM pairs),
prompt_sets_known AS MATERIALIZED (
    SELECT hash(id) AS h FROM prompt_sets UNION ALL SELECT hash(id) FROM imports
),
prompts_known AS MATERIALIZED (SELECT hash(id) AS h FROM prompts),
rankings_known AS MATERIALIZED (SELECT hash(id) AS h FROM rankings),
responses_known AS MATERIALIZED (SELECT hash(id) AS h FROM responses),
revisions_known AS MATERIALIZED (SELECT hash(id) AS h FROM revisions),
rollouts_known AS MATERIALIZED (SELECT hash(id) AS h FROM rollouts)
SELECT 'candidates' AS what, id, 'prompt_id ' || prompt_id AS detail FROM candidates
WHERE hash(prompt_id) IN (
    SELECT h FROM (SELECT hash(prompt_id) AS h FROM candidates WHERE prompt_id IS NOT NULL)
    ANTI JOIN prompts_known USING (h)
)
UNION ALL
SELECT 'revisions', id, 'prompt_id ' || prompt_id FROM revisions
WHERE hash(prompt_id) IN (
    SELECT h FROM (SELECT hash(prompt_id) AS h FROM revisions WHERE prompt_id IS NOT NULL)
    ANTI JOIN prompts_known USING (h)
)
UNION ALL
SELECT 'revisions', id, 'parent_id ' || parent_id FROM revisions
WHERE hash(parent_id) IN (
    SELECT h FROM (SELECT hash(parent_id) AS h FROM revisions WHERE parent_id IS NOT NULL)
    ANTI JOIN revisions_known USING (h)
)
UNION ALL
SELECT 'judgements', id, 'prompt_id ' || prompt_id FROM judgements
WHERE hash(prompt_id) IN (
    SELECT h FROM (SELECT hash(prompt_id) AS h FROM judgements WHERE prompt_id IS NOT NULL)
    ANTI JOIN prompts_known USING (h)
)
UNION ALL
SELECT 'judgements', id, 'candidate_id ' || candidate_id FROM judgements
WHERE hash(candidate_id) IN (
    SELECT h FROM (SELECT hash(candidate_id) AS h FROM judgements WHERE candidate_id IS NOT NULL)
    ANTI JOIN candidates_known USING (h)
)
UNION ALL
SELECT 'judgements', id, 'opponent_id ' || opponent_id FROM judgements
WHERE hash(opponent_id) IN (
    SELECT h FROM (SELECT hash(opponent_id) AS h FROM judgements WHERE opponent_id IS NOT NULL)
    ANTI JOIN candidates_known USING (h)
)
UNION ALL
SELECT 'rankings', id, 'prompt_id ' || prompt_id FROM rankings
WHERE hash(prompt_id) IN (
    SELECT h FROM (SELECT hash(prompt_id) AS h FROM rankings WHERE prompt_id IS NOT NULL)
    ANTI JOIN prompts_known USING (h)
)
UNION ALL
SELECT 'pairs', id, 'prompt_id ' || prompt_id FROM pairs
WHERE hash(prompt_id) IN (
    SELECT h FROM (SELECT hash(prompt_id) AS h FROM pairs WHERE prompt_id IS NOT NULL)
    ANTI JOIN prompts_known USING (h)
)
UNION ALL
SELECT 'pairs', id, 'ranking_id ' || ranking_id FROM pairs
WHERE hash(ranking_id) IN (
    SELECT h FROM (SELECT hash(ranking_id) AS h FROM pairs WHERE ranking_id IS NOT NULL)
    ANTI JOIN rankings_known USING (h)
)
UNION ALL
SELECT 'pairs', id, 'left_id ' || left_id FROM pairs
WHERE hash(left_id) IN (
    SELECT h FROM (SELECT hash(left_id) AS h FROM pairs WHERE left_id IS NOT NULL)
    ANTI JOIN candidates_known USING (h)
)
UNION ALL
SELECT 'pairs', id, 'right_id ' || right_id FROM pairs
WHERE hash(right_id) IN (
    SELECT h FROM (SELECT hash(right_id) AS h FROM pairs WHERE right_id IS NOT NULL)
    ANTI JOIN candidates_known USING (h)
)
UNION ALL
SELECT 'pairs', id, 'config_hash ' || config_hash FROM pairs
WHERE hash(config_hash) IN (
    SELECT h FROM (SELECT hash(config_hash) AS h FROM pairs WHERE config_hash IS NOT NULL)
    ANTI JOIN configs_known USING (h)
)
UNION ALL
SELECT 'models', id, 'parent_id ' || parent_id FROM models
WHERE hash(parent_id) IN (
    SELECT h FROM (SELECT hash(parent_id) AS h FROM models WHERE parent_id IS NOT NULL)
    ANTI JOIN models_known USING (h)
)
UNION ALL
SELECT 'models', id, 'config_hash ' || config_hash FROM models
WHERE hash(config_hash) IN (
    SELECT h FROM (SELECT hash(config_hash) AS h FROM models WHERE config_hash IS NOT NULL)
    ANTI JOIN configs_known USING (h)
)
UNION ALL
SELECT 'model_inputs', id, 'model_id ' || model_id FROM model_inputs
WHERE hash(model_id) IN (
    SELECT h FROM (SELECT hash(model_id) AS h FROM model_inputs WHERE model_id IS NOT NULL)
    ANTI JOIN models_known USING (h)
)
UNION ALL
SELECT 'judge_models', id, 'model_id ' || model_id FROM judge_models
WHERE hash(model_id) IN (
    SELECT h FROM (SELECT hash(model_id) AS h FROM judge_models WHERE model_id IS NOT NULL)
    ANTI JOIN models_known USING (h)
)
UNION ALL
SELECT 'rollouts', id, 'model_id ' || model_id FROM rollouts
WHERE hash(model_id) IN (
    SELECT h FROM (SELECT hash(model_id) AS h FROM rollouts WHERE model_id IS NOT NULL)
    ANTI JOIN models_known USING (h)
)
UNION ALL
SELECT 'rollouts', id, 'prompt_id ' || prompt_id FROM rollouts
WHERE hash(prompt_id) IN (
    SELECT h FROM (SELECT hash(prompt_id) AS h FROM rollouts WHERE prompt_id IS NOT NULL)
    ANTI JOIN prompts_known USING (h)
)
UNION ALL
SELECT 'rollout_verdicts', id, 'model_id ' || model_id FROM rollout_verdicts
WHERE hash(model_id) IN (
    SELECT h FROM (SELECT hash(model_id) AS h FROM rollout_verdicts WHERE model_id IS NOT NULL)
    ANTI JOIN models_known USING (h)
)
UNION ALL
SELECT 'rollout_verdicts', id, 'rollout_id ' || rollout_id FROM rollout_verdicts
WHERE hash(rollout_id) IN (
    SELECT h FROM (SELECT hash(rollout_id) AS h FROM rollout_verdicts WHERE rollout_id IS NOT NULL)
    ANTI JOIN rollouts_known USING (h)
)
UNION ALL
SELECT 'metrics', id, 'model_id ' || model_id FROM metrics
WHERE hash(model_id) IN (
    SELECT h FROM (SELECT hash(model_id) AS h FROM metrics WHERE model_id IS NOT NULL)
    ANTI JOIN models_known USING (h)
)
UNION ALL
SELECT 'evaluations', id, 'policy_id ' || policy_id FROM evaluations
WHERE hash(policy_id) IN (
    SELECT h FROM (SELECT hash(policy_id) AS h FROM evaluations WHERE policy_id IS NOT NULL)
    ANTI JOIN models_known USING (h)
)
UNION ALL
SELECT 'evaluations', id, 'baseline_id ' || baseline_id FROM evaluations
WHERE hash(baseline_id) IN (
    SELECT h FROM (SELECT hash(baseline_id) AS h FROM evaluations WHERE baseline_id IS NOT NULL)
    ANTI JOIN models_known USING (h)
)
UNION ALL
SELECT 'promotions', id, 'policy_id ' || policy_id FROM promotions
WHERE hash(policy_id) IN (
    SELECT h FROM (SELECT hash(policy_id) AS h FROM promotions WHERE policy_id IS NOT NULL)
    ANTI JOIN models_known USING (h)
)
UNION ALL
SELECT 'promotions', id, 'baseline_id ' || baseline_id FROM promotions
WHERE hash(baseline_id) IN (
    SELECT h FROM (SELECT hash(baseline_id) AS h FROM promotions WHERE baseline_id IS NOT NULL)
    ANTI JOIN models_known USING (h)
)
UNION ALL
SELECT 'stage_runs', id, 'config_hash ' || config_hash FROM stage_runs
WHERE hash(config_hash) IN (
    SELECT h FROM (SELECT hash(config_hash) AS h FROM stage_runs WHERE config_hash IS NOT NULL)
    ANTI JOIN configs_known USING (h)
)
UNION ALL
SELECT 'imports', id, 'model_id ' || model_id FROM imports
WHERE hash(model_id) IN (
    SELECT h FROM (SELECT hash(model_id) AS h FROM imports WHERE model_id IS NOT NULL)
    ANTI JOIN models_known USING (h)
)
UNION ALL
SELECT 'imports', id, 'config_hash ' || config_hash FROM imports
WHERE hash(config_hash) IN (
    SELECT h FROM (SELECT hash(config_hash) AS h FROM imports WHERE config_hash IS NOT NULL)
    ANTI JOIN configs_known USING (h)
)
UNION ALL
SELECT 'imported_rows', id, 'prompt_id ' || prompt_id FROM imported_rows
WHERE hash(prompt_id) IN (
    SELECT h FROM (SELECT hash(prompt_id) AS h FROM imported_rows WHERE prompt_id IS NOT NULL)
    ANTI JOIN prompts_known USING (h)
)
UNION ALL
SELECT 'prompt_users', id, 'prompt_id ' || prompt_id FROM prompt_users
WHERE hash(prompt_id) IN (
    SELECT h FROM (SELECT hash(prompt_id) AS h FROM prompt_users WHERE prompt_id IS NOT NULL)
    ANTI JOIN prompts_known USING (h)
)
UNION ALL
SELECT 'prompt_removals', id, 'prompt_set_id ' || prompt_set_id FROM prompt_removals
WHERE hash(prompt_set_id) IN (
    SELECT h FROM (SELECT hash(prompt_set_id) AS h FROM prompt_removals WHERE prompt_set_id IS NOT NULL)
    ANTI JOIN prompt_sets_known USING (h)
)
UNION ALL
SELECT 'privacy_findings', id, 'prompt_set_id ' || prompt_set_id FROM privacy_findings
WHERE hash(prompt_set_id) IN (
    SELECT h FROM (SELECT hash(prompt_set_id) AS h FROM privacy_findings WHERE prompt_set_id IS NOT NULL)
    ANTI JOIN prompt_sets_known USING (h)
)
UNION ALL
SELECT 'privacy_findings', id, 'prompt_id ' || prompt_id FROM privacy_findings
WHERE hash(prompt_id) IN (
    SELECT h FROM (SELECT hash(prompt_id) AS h FROM privacy_findings WHERE prompt_id IS NOT NULL)
    ANTI JOIN prompts_known USING (h)
)
UNION ALL
SELECT 'spot_checks', id, 'pair_id ' || pair_id FROM spot_checks
WHERE hash(pair_id) IN (
    SELECT h FROM (SELECT hash(pair_id) AS h FROM spot_checks WHERE pair_id IS NOT NULL)
    ANTI JOIN pairs_known USING (h)
)
UNION ALL
SELECT 'spot_checks', id, 'prompt_id ' || prompt_id FROM spot_checks
WHERE hash(prompt_id) IN (
    SELECT h FROM (SELECT hash(prompt_id) AS h FROM spot_checks WHERE prompt_id IS NOT NULL)
    ANTI JOIN prompts_known USING (h)
)
UNION ALL
SELECT 'spot_checks', id, 'left_id ' || left_id FROM spot_checks
WHERE hash(left_id) IN (
    SELECT h FROM (SELECT hash(left_id) AS h FROM spot_checks WHERE left_id IS NOT NULL)
    ANTI JOIN candidates_known USING (h)
)
UNION ALL
SELECT 'spot_checks', id, 'right_id ' || right_id FROM spot_checks
WHERE hash(right_id) IN (
    SELECT h FROM (SELECT hash(right_id) AS h FROM spot_checks WHERE right_id IS NOT NULL)
    ANTI JOIN candidates_known USING (h)
)
UNION ALL
SELECT 'spot_checks', id, 'shown_left ' || shown_left FROM spot_checks
WHERE hash(shown_left) IN (
    SELECT h FROM (SELECT hash(shown_left) AS h FROM spot_checks WHERE shown_left IS NOT NULL)
    ANTI JOIN candidates_known USING (h)
)
UNION ALL
SELECT 'model_inputs', id, 'input_id ' || input_id FROM model_inputs
WHERE input_table = 'prompts' AND hash(input_id) IN (
    SELECT h FROM (SELECT hash(input_id) AS h FROM model_inputs WHERE input_table = 'prompts' AND input_id IS NOT NULL)
    ANTI JOIN prompts_known USING (h)
)
UNION ALL
SELECT 'model_inputs', id, 'input_id ' || input_id FROM model_inputs
WHERE input_table = 'rankings' AND hash(input_id) IN (
    SELECT h FROM (SELECT hash(input_id) AS h FROM model_inputs WHERE input_table = 'rankings' AND input_id IS NOT NULL)
    ANTI JOIN rankings_known USING (h)
)
UNION ALL
SELECT 'model_inputs', id, 'input_id ' || input_id FROM model_inputs
WHERE input_table = 'revisions' AND hash(input_id) IN (
    SELECT h FROM (SELECT hash(input_id) AS h FROM model_inputs WHERE input_table = 'revisions' AND input_id IS NOT NULL)
    ANTI JOIN revisions_known USING (h)
)
UNION ALL
SELECT 'model_inputs', id, 'input_id ' || input_id FROM model_inputs
WHERE input_table = 'judgements' AND hash(input_id) IN (
    SELECT h FROM (SELECT hash(input_id) AS h FROM model_inputs WHERE input_table = 'judgements' AND input_id IS NOT NULL)
    ANTI JOIN judgements_known USING (h)
)
UNION ALL
SELECT 'model_inputs', id, 'input_id ' || input_id FROM model_inputs
WHERE input_table = 'pairs' AND hash(input_id) IN (
    SELECT h FROM (SELECT hash(input_id) AS h FROM model_inputs WHERE input_table = 'pairs' AND input_id IS NOT NULL)
    ANTI JOIN pairs_known USING (h)
)
UNION ALL
SELECT 'model_inputs', id, 'input_id ' || input_id FROM model_inputs
WHERE input_table = 'models' AND hash(input_id) IN (
    SELECT h FROM (SELECT hash(input_id) AS h FROM model_inputs WHERE input_table = 'models' AND input_id IS NOT NULL)
    ANTI JOIN models_known USING (h)
)
UNION ALL
SELECT 'imported_rows', id, 'subject_id ' || subject_id FROM imported_rows
WHERE subject_table = 'prompts' AND hash(subject_id) IN (
    SELECT h FROM (SELECT hash(subject_id) AS h FROM imported_rows WHERE subject_table = 'prompts' AND subject_id IS NOT NULL)
    ANTI JOIN prompts_known USING (h)
)
UNION ALL
SELECT 'imported_rows', id, 'subject_id ' || subject_id FROM imported_rows
WHERE subject_table = 'rankings' AND hash(subject_id) IN (
    SELECT h FROM (SELECT hash(subject_id) AS h FROM imported_rows WHERE subject_table = 'rankings' AND subject_id IS NOT NULL)
    ANTI JOIN rankings_known USING (h)
)
UNION ALL
SELECT 'imported_rows', id, 'subject_id ' || subject_id FROM imported_rows
WHERE subject_table = 'judgements' AND hash(subject_id) IN (
    SELECT h FROM (SELECT hash(subject_id) AS h FROM imported_rows WHERE subject_table = 'judgements' AND subject_id IS NOT NULL)
    ANTI JOIN judgements_known USING (h)
)
UNION ALL
SELECT 'imported_rows', id, 'subject_id ' || subject_id FROM imported_rows
WHERE subject_table = 'pairs' AND hash(subject_id) IN (
    SELECT h FROM (SELECT hash(subject_id) AS h FROM imported_rows WHERE subject_table = 'pairs' AND subject_id IS NOT NULL)
    ANTI JOIN pairs_known USING (h)
)
UNION ALL
SELECT 'retractions', id, 'subject_id ' || subject_id FROM retractions
WHERE subject_table = 'prompts' AND hash(subject_id) IN (
    SELECT h FROM (SELECT hash(subject_id) AS h FROM retractions WHERE subject_table = 'prompts' AND subject_id IS NOT NULL)
    ANTI JOIN prompts_known USING (h)
)
UNION ALL
SELECT 'retractions', id, 'subject_id ' || subject_id FROM retractions
WHERE subject_table = 'candidates' AND hash(subject_id) IN (
    SELECT h FROM (SELECT hash(subject_id) AS h FROM retractions WHERE subject_table = 'candidates' AND subject_id IS NOT NULL)
    ANTI JOIN candidates_known USING (h)
)
UNION ALL
SELECT 'retractions', id, 'subject_id ' || subject_id FROM retractions
WHERE subject_table = 'judgements' AND hash(subject_id) IN (
    SELECT h FROM (SELECT hash(subject_id) AS h FROM retractions WHERE subject_table = 'judgements' AND subject_id IS NOT NULL)
    ANTI JOIN judgements_known USING (h)
)
UNION ALL
SELECT 'retractions', id, 'subject_id ' || subject_id FROM retractions
WHERE subject_table = 'pairs' AND hash(subject_id) IN (
    SELECT h FROM (SELECT hash(subject_id) AS h FROM retractions WHERE subject_table = 'pairs' AND subject_id IS NOT NULL)
    ANTI JOIN pairs_known USING (h)
)
UNION ALL
SELECT 'prompt_sets', id, 'prompt_ids ' || entry FROM (SELECT id, unnest(prompt_ids) AS entry FROM prompt_sets)
WHERE hash(entry) IN (
    SELECT h FROM (SELECT hash(unnest(prompt_ids)) AS h FROM prompt_sets) ANTI JOIN prompts_known USING (h)
)
UNION ALL
SELECT 'judgements', id, 'response_ids ' || entry FROM (SELECT id, unnest(response_ids) AS entry FROM judgements)
WHERE hash(entry) IN (
    SELECT h FROM (SELECT hash(unnest(response_ids)) AS h FROM judgements) ANTI JOIN responses_known USING (h)
)
UNION ALL
SELECT 'revisions', id, 'response_ids ' || entry FROM (SELECT id, unnest(response_ids) AS entry FROM revisions)
WHERE hash(entry) IN (
    SELECT h FROM (SELECT hash(unnest(response_ids)) AS h FROM revisions) ANTI JOIN responses_known USING (h)
)
UNION ALL
SELECT 'rollout_verdicts', id, 'response_ids ' || entry FROM (SELECT id, unnest(response_ids) AS entry FROM rollout_verdicts)
WHERE hash(entry) IN (
    SELECT h FROM (SELECT hash(unnest(response_ids)) AS h FROM rollout_verdicts) ANTI JOIN responses_known USING (h)
)
UNION ALL
SELECT 'rankings', id, 'candidate_ids ' || entry FROM (SELECT id, unnest(candidate_ids) AS entry FROM rankings)
WHERE hash(entry) IN (
    SELECT h FROM (SELECT hash(unnest(candidate_ids)) AS h FROM rankings) ANTI JOIN candidates_known USING (h)
)
UNION ALL
SELECT 'rankings', id, 'judgement_ids ' || entry FROM (SELECT id, unnest(judgement_ids) AS entry FROM rankings)
WHERE hash(entry) IN (
    SELECT h FROM (SELECT hash(unnest(judgement_ids)) AS h FROM rankings) ANTI JOIN judgements_known USING (h)
)
UNION ALL
SELECT 'pairs', id, 'judgement_ids ' || entry FROM (SELECT id, unnest(judgement_ids) AS entry FROM pairs)
WHERE hash(entry) IN (
    SELECT h FROM (SELECT hash(unnest(judgement_ids)) AS h FROM pairs) ANTI JOIN judgements_known USING (h)
)
UNION ALL
SELECT 'deletions', id, 'model_ids ' || entry FROM (SELECT id, unnest(model_ids) AS entry FROM deletions)
WHERE hash(entry) IN (
    SELECT h FROM (SELECT hash(unnest(model_ids)) AS h FROM deletions) ANTI JOIN models_known USING (h)
);
COMMENT ON VIEW check_orphans IS
    'error: A fact refers to one that is not there, so its history cannot be told. Rows were '
    'deleted or copied in part; restore what is missing from a backup.';
