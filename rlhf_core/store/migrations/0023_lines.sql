-- A policy line has a name, on which its cycles, decisions and runs hang, whatever becomes of its
-- config; what an edit of the config changed is told; runs that are compared are cycles.

ALTER TABLE configs ADD COLUMN deciding VARCHAR DEFAULT '{}';
COMMENT ON COLUMN configs.config_hash IS
    'Hash of the settings that change results: what pairs, models, promotions and stage_runs carry.';
COMMENT ON COLUMN configs.deciding IS
    'JSON object of those settings, with the defaults of judges; not addresses, time limits, prices.';

ALTER TABLE promotions ADD COLUMN line VARCHAR DEFAULT '';
UPDATE promotions SET line = config_hash;
COMMENT ON COLUMN promotions.line IS 'Name of the policy line; of rows from before there were names, config_hash.';
COMMENT ON COLUMN promotions.id IS 'Hash of line and cycle.';

ALTER TABLE stage_runs ADD COLUMN line VARCHAR DEFAULT '';
UPDATE stage_runs SET line = config_hash;
COMMENT ON COLUMN stage_runs.line IS 'Name of the policy line; of rows from before there were names, config_hash.';
COMMENT ON COLUMN stage_runs.id IS 'Hash of line, config_hash, cycle and stage.';

CREATE TABLE cycle_runs (
    id VARCHAR NOT NULL, line VARCHAR NOT NULL, cycle INTEGER NOT NULL,
    config_hash VARCHAR NOT NULL, source VARCHAR NOT NULL, attempt VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE cycle_runs IS
    'Runs of cycles that began: which line, cycle and config each run_id belongs to. A cycle that '
    'was cut short and resumed has several.';
COMMENT ON COLUMN cycle_runs.id IS 'Hash of line, cycle and attempt.';
COMMENT ON COLUMN cycle_runs.line IS 'Name of the policy line.';
COMMENT ON COLUMN cycle_runs.cycle IS 'Number of the cycle, from 1.';
COMMENT ON COLUMN cycle_runs.config_hash IS 'configs.config_hash of the run.';
COMMENT ON COLUMN cycle_runs.source IS 'Path of the config file; empty where there was none.';
COMMENT ON COLUMN cycle_runs.attempt IS 'The run''s id, as in run_id.';
COMMENT ON COLUMN cycle_runs.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN cycle_runs.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN cycle_runs.code_version IS 'Solon''s release and the hash of its sources when the row was written.';

INSERT INTO cycle_runs BY NAME
SELECT left(sha256('["cycle_runs","' || line || '",' || cycle || ',"' || run_id || '"]'), 20) AS id,
       line, cycle, min(config_hash) AS config_hash, '' AS source, run_id AS attempt,
       min(created_at) AS created_at, run_id, min(code_version) AS code_version
FROM stage_runs GROUP BY line, cycle, run_id;

CREATE VIEW model_runs AS
SELECT models.id AS model_id, models.kind, by_run.line, by_run.cycle, models.config_hash,
       models.created_at
FROM models LEFT JOIN (SELECT DISTINCT run_id, line, cycle FROM cycle_runs) AS by_run
    ON by_run.run_id = models.run_id;
COMMENT ON VIEW model_runs IS
    'Which line and cycle made each model first: SELECT * FROM model_runs WHERE line = ''…'' ORDER BY created_at';
COMMENT ON COLUMN model_runs.model_id IS 'models.id.';
COMMENT ON COLUMN model_runs.line IS 'Name of the policy line; null of models that no cycle made.';
COMMENT ON COLUMN model_runs.cycle IS 'Number of the cycle.';

CREATE OR REPLACE VIEW model_promotions AS
SELECT begun.id AS model_id, promotions.id AS promotion_id, promotions.policy_id,
       promotions.cycle, promotions.evaluation_id
FROM models AS begun
JOIN (SELECT DISTINCT run_id, line FROM cycle_runs) AS by_run ON by_run.run_id = begun.run_id
JOIN promotions ON promotions.policy_id = begun.parent_id AND promotions.promoted
    AND promotions.line = by_run.line;
COMMENT ON VIEW model_promotions IS
    'The decision that let a policy take over, by each model that was trained from it in a later '
    'cycle: SELECT * FROM model_promotions JOIN evaluations ON evaluations.id = evaluation_id.';
COMMENT ON COLUMN model_promotions.model_id IS 'models.id of the later model.';
COMMENT ON COLUMN model_promotions.promotion_id IS 'promotions.id.';
COMMENT ON COLUMN model_promotions.policy_id IS 'models.id of the promoted policy, its parent.';
COMMENT ON COLUMN model_promotions.cycle IS 'In which it was promoted.';
COMMENT ON COLUMN model_promotions.evaluation_id IS 'evaluations.id of what decided.';

CREATE VIEW config_changes AS
WITH begun AS (
    SELECT line, cycle, config_hash, created_at,
           lag(config_hash) OVER (PARTITION BY line ORDER BY created_at, attempt) AS former_hash
    FROM cycle_runs
), changed AS (
    SELECT * FROM begun WHERE former_hash IS NOT NULL AND former_hash <> config_hash
), settings AS (
    SELECT config_hash, value.fullkey[3:] AS setting, value.atom::VARCHAR AS value
    FROM configs, json_tree(try_cast(configs.deciding AS JSON)) AS value
    WHERE value.atom IS NOT NULL
), sides AS (
    SELECT line, cycle, created_at, former_hash, changed.config_hash, setting, value, NULL AS former
    FROM changed JOIN settings ON settings.config_hash = changed.config_hash
    UNION ALL
    SELECT line, cycle, created_at, former_hash, changed.config_hash, setting, NULL, value
    FROM changed JOIN settings ON settings.config_hash = former_hash
)
SELECT line, cycle, created_at AS changed_at, setting, max(former) AS former, max(value) AS value,
       former_hash, config_hash
FROM sides GROUP BY line, cycle, created_at, setting, former_hash, config_hash
HAVING max(former) IS DISTINCT FROM max(value);
COMMENT ON VIEW config_changes IS
    'What edits of a line''s config changed, of the settings that change results: '
    'SELECT * FROM config_changes WHERE line = ''…'' ORDER BY changed_at, setting';
COMMENT ON COLUMN config_changes.cycle IS 'The first cycle that ran with the edit.';
COMMENT ON COLUMN config_changes.changed_at IS 'When its first run with the edit began.';
COMMENT ON COLUMN config_changes.setting IS 'As training.steps; list entries by number. $ is the root.';
COMMENT ON COLUMN config_changes.former IS 'Before; null where there was none.';
COMMENT ON COLUMN config_changes.value IS 'From then on; null where there is none.';

DROP VIEW run_changes;
CREATE VIEW run_changes AS
WITH by_run AS (
    SELECT DISTINCT run_id, line, cycle FROM cycle_runs
), seen AS (
    SELECT 'rows of ' || table_name AS what, line, cycle, sum(added)::BIGINT::VARCHAR AS value
    FROM run_rows JOIN by_run ON by_run.run_id = run_rows.run_id GROUP BY ALL
    UNION ALL
    SELECT 'judge ' || judge || ' ' || judge_version, line, cycle, sum(judgements)::BIGINT::VARCHAR
    FROM judge_costs JOIN by_run ON by_run.run_id = judge_costs.run_id GROUP BY ALL
    UNION ALL
    SELECT 'setting ' || setting, line, cycle, string_agg(DISTINCT value, ', ' ORDER BY value)
    FROM cycle_runs JOIN config_values ON config_values.config_hash = cycle_runs.config_hash
    GROUP BY ALL
), cycles AS (
    SELECT line, cycle, lag(cycle) OVER (PARTITION BY line ORDER BY cycle) AS former_cycle
    FROM (SELECT DISTINCT line, cycle FROM by_run)
), wanted AS (
    SELECT cycles.line, cycles.cycle, former_cycle, what, value, NULL AS former
    FROM cycles JOIN seen ON seen.line = cycles.line AND seen.cycle = cycles.cycle
    WHERE former_cycle IS NOT NULL
    UNION ALL
    SELECT cycles.line, cycles.cycle, former_cycle, what, NULL, value
    FROM cycles JOIN seen ON seen.line = cycles.line AND seen.cycle = former_cycle
)
SELECT line, cycle, former_cycle, what, max(former) AS former, max(value) AS value
FROM wanted GROUP BY line, cycle, former_cycle, what
HAVING max(former) IS DISTINCT FROM max(value);
COMMENT ON VIEW run_changes IS
    'What changed from each cycle of a line to the next: rows added by table, judgements by judge '
    'version, settings. SELECT * FROM run_changes WHERE line = ''…'' AND cycle = 2 ORDER BY what';
COMMENT ON COLUMN run_changes.former IS 'In the cycle before; null where there was none.';

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
ANTI JOIN promotions ON promotions.line = stage_runs.line
    AND promotions.cycle = stage_runs.cycle
WHERE stage_runs.stage = 'promote';
COMMENT ON VIEW check_stages_without_rows IS
    'error: A stage signed off, and what it should have added is not there, though `solon forget` '
    'deleted none of it. Restore a backup, or run the config again in a new store.';

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
    SELECT 'cycle_runs' AS what, id FROM cycle_runs WHERE hash(id) IN
        (SELECT hash(id) FROM cycle_runs GROUP BY hash(id) HAVING count(*) > 1)
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
UNION ALL SELECT 'cycle_runs', run_id, count(*), min(created_at), max(created_at) FROM cycle_runs GROUP BY run_id
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
