-- All that a model rests on, however it does: the prompts its weights were chosen on, the references
-- its rewards are centred by, the models that sampled, judged or revised what it learnt from, what
-- its reward's judges said of each answer, the decision it goes on from. Checks know every table.

ALTER TABLE model_inputs ADD COLUMN role VARCHAR DEFAULT 'learnt';
COMMENT ON TABLE model_inputs IS 'The rows a model rests on, one a row; most of them it learnt from.';
COMMENT ON COLUMN model_inputs.role IS
    'learnt: it learnt from the row, or, of a reward model, was taught or chosen by it. Prompts: '
    'chosen_on (its weights were chosen by its answers to it), normalised_on (its zero is the mean '
    'reward of its reference and others). Pairs: left_out (retracted, so it learnt from the rest of '
    'the ranking alone). Models: base (it began as this one), sampler (it learnt from rankings of '
    'its answers), judge (from verdicts that it was asked for), reviser (from revisions of it).';
COMMENT ON COLUMN model_inputs.id IS 'Hash of model and input, and of the role where it is not learnt.';

-- What the stages now write, for the models that were there before: with the provenance of the
-- model, and under the ids that the same facts have.
INSERT INTO model_inputs BY NAME
SELECT left(sha256('["model_inputs","' || model_id || '","' || input_id || '","sampler"]'), 20) AS id,
       model_id, 'models' AS input_table, input_id, 'sampler' AS role, created_at, run_id, code_version
FROM (
    SELECT DISTINCT model_inputs.model_id, rankings.model_id AS input_id
    FROM model_inputs
    JOIN rankings ON model_inputs.input_table = 'rankings' AND rankings.id = model_inputs.input_id
)
JOIN (SELECT id AS model_id, created_at, run_id, code_version FROM models) USING (model_id);

CREATE TABLE judge_models (
    id VARCHAR NOT NULL, judge_version VARCHAR NOT NULL, model_id VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE judge_models IS
    'Judges that ask a model made here: what that model stands on is behind their verdicts.';
COMMENT ON COLUMN judge_models.id IS 'Hash of judge version and model.';
COMMENT ON COLUMN judge_models.judge_version IS 'As judgements.judge_version.';
COMMENT ON COLUMN judge_models.model_id IS 'models.id of its model; a jury has a row for each.';
COMMENT ON COLUMN judge_models.created_at IS 'When the row was written.';
COMMENT ON COLUMN judge_models.run_id IS 'Which run wrote it.';
COMMENT ON COLUMN judge_models.code_version IS 'Which version of the code wrote it.';

CREATE TABLE rollout_verdicts (
    id VARCHAR NOT NULL, model_id VARCHAR NOT NULL, rollout_id VARCHAR NOT NULL,
    judge VARCHAR NOT NULL, judge_version VARCHAR NOT NULL, outcome VARCHAR NOT NULL, score DOUBLE,
    raw_output VARCHAR, reason VARCHAR, response_ids VARCHAR[] NOT NULL,
    latency_seconds DOUBLE NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, cost_usd DOUBLE NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE rollout_verdicts IS
    'What each judge inside the reward said of each answer that a policy gave while it trained; '
    'none where the judge was not asked, since the prompt is of a mode that it does not judge.';
COMMENT ON COLUMN rollout_verdicts.id IS 'Hash of rollout and judge version.';
COMMENT ON COLUMN rollout_verdicts.model_id IS 'models.id of the policy.';
COMMENT ON COLUMN rollout_verdicts.rollout_id IS 'rollouts.id of the answer.';
COMMENT ON COLUMN rollout_verdicts.judge IS 'Name in the config; the part of rollouts.parts.';
COMMENT ON COLUMN rollout_verdicts.judge_version IS 'As in judgements, kind and hash.';
COMMENT ON COLUMN rollout_verdicts.outcome IS 'scored, abstains, unparsed or unavailable; without a score the answer got the mean of the others.';
COMMENT ON COLUMN rollout_verdicts.score IS '0 to 1, before its weight; null without an opinion.';
COMMENT ON COLUMN rollout_verdicts.raw_output IS 'What the verdict was made of.';
COMMENT ON COLUMN rollout_verdicts.reason IS 'Why there is no score.';
COMMENT ON COLUMN rollout_verdicts.response_ids IS 'responses.id of what its model said.';
COMMENT ON COLUMN rollout_verdicts.latency_seconds IS 'From asking to answer.';
COMMENT ON COLUMN rollout_verdicts.prompt_tokens IS 'Tokens that its model read.';
COMMENT ON COLUMN rollout_verdicts.completion_tokens IS 'Tokens that its model wrote.';
COMMENT ON COLUMN rollout_verdicts.cost_usd IS 'What asking cost, in US dollars.';
COMMENT ON COLUMN rollout_verdicts.created_at IS 'When the row was written.';
COMMENT ON COLUMN rollout_verdicts.run_id IS 'Which run wrote it.';
COMMENT ON COLUMN rollout_verdicts.code_version IS 'Which version of the code wrote it.';

-- Edges are facts, so that no join over all rankings is needed to walk them.
CREATE OR REPLACE VIEW model_sources AS
SELECT id AS model_id, parent_id AS source_id, 'parent' AS relation
FROM models WHERE parent_id IS NOT NULL
UNION ALL
SELECT model_id, input_id, CASE role WHEN 'learnt' THEN 'input' ELSE role END
FROM model_inputs WHERE input_table = 'models';
COMMENT ON VIEW model_sources IS
    'Which models a model stands on: one it was initialised from (parent, or base where the config '
    'names a policy of this store), a reward model that taught or chose it (input), one whose '
    'answers, verdicts or revisions it learnt from (sampler, judge, reviser).';
COMMENT ON COLUMN model_sources.model_id IS 'models.id of the later model.';
COMMENT ON COLUMN model_sources.source_id IS 'models.id of the earlier one.';
COMMENT ON COLUMN model_sources.relation IS 'parent, base, input, sampler, judge or reviser.';

CREATE VIEW model_promotions AS
SELECT begun.id AS model_id, promotions.id AS promotion_id, promotions.policy_id,
       promotions.cycle, promotions.evaluation_id
FROM models AS begun
JOIN promotions ON promotions.policy_id = begun.parent_id AND promotions.promoted
    AND promotions.config_hash = begun.config_hash;
COMMENT ON VIEW model_promotions IS
    'The decision that let a policy take over, by each model that was trained from it in a later '
    'cycle: SELECT * FROM model_promotions JOIN evaluations ON evaluations.id = evaluation_id.';
COMMENT ON COLUMN model_promotions.model_id IS 'models.id of the later model.';
COMMENT ON COLUMN model_promotions.promotion_id IS 'promotions.id.';
COMMENT ON COLUMN model_promotions.policy_id IS 'models.id of the promoted policy, its parent.';
COMMENT ON COLUMN model_promotions.cycle IS 'In which it was promoted.';
COMMENT ON COLUMN model_promotions.evaluation_id IS 'evaluations.id of what decided.';

COMMENT ON VIEW model_prompts IS
    'Which prompts each model rests on itself: as they are, by a ranking or by a revision; those '
    'that its weights were chosen on, or its rewards centred by, too (model_inputs.role).';
COMMENT ON VIEW prompt_models IS
    'Which models rest on each prompt: SELECT * FROM prompt_models WHERE prompt_id = ''…''.';

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
    'What a model rests on itself that is retracted or rests on something retracted; not a pair '
    'that it left out.';
COMMENT ON COLUMN tainted_inputs.model_id IS 'models.id.';
COMMENT ON COLUMN tainted_inputs.input_table IS 'Of what it learnt from: as in model_inputs, or judge_versions for a judge inside its reward.';
COMMENT ON COLUMN tainted_inputs.input_id IS 'Of what it learnt from.';
COMMENT ON COLUMN tainted_inputs.subject_table IS 'Of what was retracted.';
COMMENT ON COLUMN tainted_inputs.subject_id IS 'Of what was retracted.';

CREATE OR REPLACE VIEW check_models_without_inputs AS
SELECT models.kind AS what, models.id, 'config ' || config_hash AS detail
FROM models
ANTI JOIN (SELECT model_id FROM model_inputs WHERE role = 'learnt') AS traced
    ON traced.model_id = models.id
ANTI JOIN (SELECT unnest(model_ids) AS model_id FROM deletions) AS forgotten
    ON forgotten.model_id = models.id
WHERE models.kind IN ('sft', 'reward', 'policy');
COMMENT ON VIEW check_models_without_inputs IS
    'error: A trained model does not say what it learnt from, so it cannot be traced. Train '
    'it again. Models whose inputs `solon forget` deleted are named in deletions instead.';

CREATE OR REPLACE VIEW check_stages_without_rows AS
WITH wanted AS (
    SELECT 'ingest' AS stage, 'prompts' AS source, (SELECT count(*) FROM prompts) AS n
    UNION ALL SELECT 'train_sft', 'models', (SELECT count(*) FROM models WHERE kind = 'sft')
    UNION ALL SELECT 'sample', 'candidates', (SELECT count(*) FROM candidates)
    UNION ALL SELECT 'judge', 'judgements', (SELECT count(*) FROM judgements)
    UNION ALL SELECT 'pair', 'rankings', (SELECT count(*) FROM rankings)
    UNION ALL SELECT 'train_reward', 'models', (SELECT count(*) FROM models WHERE kind = 'reward')
    UNION ALL SELECT 'train_policy', 'models', (SELECT count(*) FROM models WHERE kind = 'policy')
    UNION ALL SELECT 'evaluate', 'evaluations', (SELECT count(*) FROM evaluations)
), forgotten AS (
    SELECT DISTINCT unnest(json_keys(try_cast(deleted_rows AS JSON))) AS source FROM deletions
)
SELECT stage_runs.stage AS what, stage_runs.id, 'run ' || stage_runs.run_id AS detail
FROM stage_runs JOIN wanted ON wanted.stage = stage_runs.stage
ANTI JOIN forgotten ON forgotten.source = wanted.source
WHERE n = 0
UNION ALL
SELECT stage_runs.stage, stage_runs.id, 'run ' || stage_runs.run_id
FROM stage_runs
ANTI JOIN promotions ON promotions.config_hash = stage_runs.config_hash
    AND promotions.cycle = stage_runs.cycle
WHERE stage_runs.stage = 'promote';
COMMENT ON VIEW check_stages_without_rows IS
    'error: A stage signed off, and what it should have added is not there, though `solon forget` '
    'deleted none of it. Restore a backup, or run the config again in a new store.';

-- Grouped by a hash of the id, which takes half the memory; then the ids themselves are compared.
CREATE OR REPLACE VIEW check_duplicate_ids AS
WITH suspects AS (
    SELECT 'configs' AS what, id FROM configs WHERE hash(id) IN
        (SELECT hash(id) FROM configs GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'prompts' AS what, id FROM prompts WHERE hash(id) IN
        (SELECT hash(id) FROM prompts GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'prompt_sets' AS what, id FROM prompt_sets WHERE hash(id) IN
        (SELECT hash(id) FROM prompt_sets GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'candidates' AS what, id FROM candidates WHERE hash(id) IN
        (SELECT hash(id) FROM candidates GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'responses' AS what, id FROM responses WHERE hash(id) IN
        (SELECT hash(id) FROM responses GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'revisions' AS what, id FROM revisions WHERE hash(id) IN
        (SELECT hash(id) FROM revisions GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'judgements' AS what, id FROM judgements WHERE hash(id) IN
        (SELECT hash(id) FROM judgements GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'rankings' AS what, id FROM rankings WHERE hash(id) IN
        (SELECT hash(id) FROM rankings GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'pairs' AS what, id FROM pairs WHERE hash(id) IN
        (SELECT hash(id) FROM pairs GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'models' AS what, id FROM models WHERE hash(id) IN
        (SELECT hash(id) FROM models GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'model_inputs' AS what, id FROM model_inputs WHERE hash(id) IN
        (SELECT hash(id) FROM model_inputs GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'judge_models' AS what, id FROM judge_models WHERE hash(id) IN
        (SELECT hash(id) FROM judge_models GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'rollouts' AS what, id FROM rollouts WHERE hash(id) IN
        (SELECT hash(id) FROM rollouts GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'rollout_verdicts' AS what, id FROM rollout_verdicts WHERE hash(id) IN
        (SELECT hash(id) FROM rollout_verdicts GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'metrics' AS what, id FROM metrics WHERE hash(id) IN
        (SELECT hash(id) FROM metrics GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'evaluations' AS what, id FROM evaluations WHERE hash(id) IN
        (SELECT hash(id) FROM evaluations GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'promotions' AS what, id FROM promotions WHERE hash(id) IN
        (SELECT hash(id) FROM promotions GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'stage_runs' AS what, id FROM stage_runs WHERE hash(id) IN
        (SELECT hash(id) FROM stage_runs GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'failures' AS what, id FROM failures WHERE hash(id) IN
        (SELECT hash(id) FROM failures GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'retractions' AS what, id FROM retractions WHERE hash(id) IN
        (SELECT hash(id) FROM retractions GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'judge_benchmarks' AS what, id FROM judge_benchmarks WHERE hash(id) IN
        (SELECT hash(id) FROM judge_benchmarks GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'imports' AS what, id FROM imports WHERE hash(id) IN
        (SELECT hash(id) FROM imports GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'imported_rows' AS what, id FROM imported_rows WHERE hash(id) IN
        (SELECT hash(id) FROM imported_rows GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'prompt_users' AS what, id FROM prompt_users WHERE hash(id) IN
        (SELECT hash(id) FROM prompt_users GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'prompt_removals' AS what, id FROM prompt_removals WHERE hash(id) IN
        (SELECT hash(id) FROM prompt_removals GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'privacy_findings' AS what, id FROM privacy_findings WHERE hash(id) IN
        (SELECT hash(id) FROM privacy_findings GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'deletions' AS what, id FROM deletions WHERE hash(id) IN
        (SELECT hash(id) FROM deletions GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'prompt_tombstones' AS what, id FROM prompt_tombstones WHERE hash(id) IN
        (SELECT hash(id) FROM prompt_tombstones GROUP BY hash(id) HAVING count(*) > 1)
    UNION ALL
    SELECT 'spot_checks' AS what, id FROM spot_checks WHERE hash(id) IN
        (SELECT hash(id) FROM spot_checks GROUP BY hash(id) HAVING count(*) > 1)
)
SELECT what, id, count(*) || ' copies' AS detail FROM suspects GROUP BY what, id HAVING count(*) > 1;
COMMENT ON VIEW check_duplicate_ids IS
    'error: A fact is stored twice and counts double. Rows must only be added by Solon itself; '
    'restore a backup, or delete one of the copies.';

CREATE OR REPLACE VIEW run_rows AS
SELECT 'configs' AS table_name, run_id, count(*) AS added, min(created_at) AS first_at, max(created_at) AS last_at FROM configs GROUP BY run_id
UNION ALL SELECT 'prompts', run_id, count(*), min(created_at), max(created_at) FROM prompts GROUP BY run_id
UNION ALL SELECT 'prompt_sets', run_id, count(*), min(created_at), max(created_at) FROM prompt_sets GROUP BY run_id
UNION ALL SELECT 'candidates', run_id, count(*), min(created_at), max(created_at) FROM candidates GROUP BY run_id
UNION ALL SELECT 'responses', run_id, count(*), min(created_at), max(created_at) FROM responses GROUP BY run_id
UNION ALL SELECT 'revisions', run_id, count(*), min(created_at), max(created_at) FROM revisions GROUP BY run_id
UNION ALL SELECT 'judgements', run_id, count(*), min(created_at), max(created_at) FROM judgements GROUP BY run_id
UNION ALL SELECT 'rankings', run_id, count(*), min(created_at), max(created_at) FROM rankings GROUP BY run_id
UNION ALL SELECT 'pairs', run_id, count(*), min(created_at), max(created_at) FROM pairs GROUP BY run_id
UNION ALL SELECT 'models', run_id, count(*), min(created_at), max(created_at) FROM models GROUP BY run_id
UNION ALL SELECT 'model_inputs', run_id, count(*), min(created_at), max(created_at) FROM model_inputs GROUP BY run_id
UNION ALL SELECT 'judge_models', run_id, count(*), min(created_at), max(created_at) FROM judge_models GROUP BY run_id
UNION ALL SELECT 'rollouts', run_id, count(*), min(created_at), max(created_at) FROM rollouts GROUP BY run_id
UNION ALL SELECT 'rollout_verdicts', run_id, count(*), min(created_at), max(created_at) FROM rollout_verdicts GROUP BY run_id
UNION ALL SELECT 'metrics', run_id, count(*), min(created_at), max(created_at) FROM metrics GROUP BY run_id
UNION ALL SELECT 'evaluations', run_id, count(*), min(created_at), max(created_at) FROM evaluations GROUP BY run_id
UNION ALL SELECT 'promotions', run_id, count(*), min(created_at), max(created_at) FROM promotions GROUP BY run_id
UNION ALL SELECT 'stage_runs', run_id, count(*), min(created_at), max(created_at) FROM stage_runs GROUP BY run_id
UNION ALL SELECT 'failures', run_id, count(*), min(created_at), max(created_at) FROM failures GROUP BY run_id
UNION ALL SELECT 'retractions', run_id, count(*), min(created_at), max(created_at) FROM retractions GROUP BY run_id
UNION ALL SELECT 'judge_benchmarks', run_id, count(*), min(created_at), max(created_at) FROM judge_benchmarks GROUP BY run_id
UNION ALL SELECT 'imports', run_id, count(*), min(created_at), max(created_at) FROM imports GROUP BY run_id
UNION ALL SELECT 'imported_rows', run_id, count(*), min(created_at), max(created_at) FROM imported_rows GROUP BY run_id
UNION ALL SELECT 'prompt_users', run_id, count(*), min(created_at), max(created_at) FROM prompt_users GROUP BY run_id
UNION ALL SELECT 'prompt_removals', run_id, count(*), min(created_at), max(created_at) FROM prompt_removals GROUP BY run_id
UNION ALL SELECT 'privacy_findings', run_id, count(*), min(created_at), max(created_at) FROM privacy_findings GROUP BY run_id
UNION ALL SELECT 'deletions', run_id, count(*), min(created_at), max(created_at) FROM deletions GROUP BY run_id
UNION ALL SELECT 'prompt_tombstones', run_id, count(*), min(created_at), max(created_at) FROM prompt_tombstones GROUP BY run_id
UNION ALL SELECT 'spot_checks', run_id, count(*), min(created_at), max(created_at) FROM spot_checks GROUP BY run_id;
COMMENT ON VIEW run_rows IS
    'What each run added to each table, and when: SELECT * FROM run_rows WHERE run_id = ''…''';

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
