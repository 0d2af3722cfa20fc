-- Runs: their costs, and what changed between them.

CREATE OR REPLACE VIEW stage_costs AS
WITH spent AS (
    SELECT run_id, CASE split WHEN 'holdout' THEN 'evaluate' ELSE 'sample' END AS stage,
           count(*) AS calls, sum(prompt_tokens) AS prompt_tokens,
           sum(completion_tokens) AS completion_tokens, sum(cost_usd) AS cost_usd
    FROM (SELECT prompt_id, prompt_tokens, completion_tokens, cost_usd, run_id FROM candidates)
    JOIN (SELECT id, split FROM prompts) AS prompts ON prompts.id = prompt_id
    GROUP BY run_id, split
    UNION ALL
    SELECT run_id, CASE split WHEN 'holdout' THEN 'evaluate' ELSE 'judge' END, count(*),
           sum(prompt_tokens), sum(completion_tokens), sum(cost_usd)
    FROM (SELECT prompt_id, prompt_tokens, completion_tokens, cost_usd, run_id FROM judgements)
    JOIN (SELECT id, split FROM prompts) AS prompts ON prompts.id = prompt_id
    GROUP BY run_id, split
    UNION ALL
    SELECT run_id, CASE split WHEN 'holdout' THEN 'evaluate' ELSE 'judge' END, count(*),
           sum(prompt_tokens), sum(completion_tokens), sum(cost_usd)
    FROM (SELECT judgement_id, prompt_tokens, completion_tokens, cost_usd, run_id FROM judge_probes)
    JOIN (SELECT id, prompt_id FROM judgements) AS judged ON judged.id = judgement_id
    JOIN (SELECT id, split FROM prompts) AS prompts ON prompts.id = prompt_id
    GROUP BY run_id, split
    UNION ALL
    SELECT run_id, 'evaluate', count(*), sum(prompt_tokens), sum(completion_tokens), sum(cost_usd)
    FROM reworded_verdicts GROUP BY run_id
    UNION ALL
    SELECT run_id, 'revise', count(*), 0, 0, sum(cost_usd) FROM revisions GROUP BY run_id
    UNION ALL
    SELECT run_id, stage, 0, 0, 0, 0 FROM stage_runs
), totals AS (
    SELECT run_id, stage, sum(calls)::BIGINT AS calls, sum(prompt_tokens)::BIGINT AS prompt_tokens,
           sum(completion_tokens)::BIGINT AS completion_tokens, sum(cost_usd) AS cost_usd
    FROM spent GROUP BY run_id, stage
), ended AS (
    SELECT run_id, stage, sum(seconds) AS seconds FROM stage_runs GROUP BY run_id, stage
)
SELECT totals.*, ended.seconds
FROM totals LEFT JOIN ended ON ended.run_id = totals.run_id AND ended.stage = totals.stage;
COMMENT ON VIEW stage_costs IS
    'Cost and time of each stage of each run: SELECT stage, sum(cost_usd), sum(seconds) FROM '
    'stage_costs GROUP BY 1. Samples and judgements of held-out prompts count for the evaluation.';
COMMENT ON COLUMN stage_costs.calls IS
    'Number of candidates, judgements, probes and revisions added; 0 for other stages.';
COMMENT ON COLUMN stage_costs.seconds IS
    'Wall-clock time; null for a stage that did not complete in this run.';

CREATE OR REPLACE VIEW costs_by_week AS
WITH spent AS (
    SELECT created_at, 'sampling' AS what, model_id AS who, prompt_tokens, completion_tokens, cost_usd
    FROM candidates
    UNION ALL
    SELECT created_at, 'judging', judge, prompt_tokens, completion_tokens, cost_usd FROM judgements
    UNION ALL
    SELECT created_at, 'probing', judge, prompt_tokens, completion_tokens, cost_usd
    FROM judge_probes
    UNION ALL
    SELECT created_at, if(role = 'guard', 'guarding', 'rewarding'), judge, prompt_tokens, completion_tokens, cost_usd
    FROM rollout_verdicts
    UNION ALL
    SELECT created_at, 'guarding', judge, prompt_tokens, completion_tokens, cost_usd
    FROM reworded_verdicts
    UNION ALL
    SELECT created_at, 'revising', model, 0, 0, cost_usd FROM revisions
)
SELECT date_trunc('week', created_at)::DATE AS week, what, who, count(*) AS calls,
       sum(prompt_tokens)::BIGINT AS prompt_tokens,
       sum(completion_tokens)::BIGINT AS completion_tokens, sum(cost_usd) AS cost_usd
FROM spent GROUP BY ALL;
COMMENT ON VIEW costs_by_week IS
    'Cost of models and judges, week by week: SELECT week, sum(cost_usd) FROM costs_by_week GROUP '
    'BY week ORDER BY week. Benchmarks of judges are not included; judge_benchmarks has their '
    'cost.';
COMMENT ON COLUMN costs_by_week.week IS 'Monday of the week.';
COMMENT ON COLUMN costs_by_week.what IS
    'sampling of candidates, judging of them, probing of judges, rewarding and guarding (judges '
    'in the reward, and the guard''s, while a policy trains; those that it shows reworded answers), '
    'revising.';
COMMENT ON COLUMN costs_by_week.who IS
    'Id or name of the model that answered or revised, or the judge''s name.';
COMMENT ON COLUMN costs_by_week.calls IS
    'Number of answers, judgements, verdicts or revisions added.';
COMMENT ON COLUMN costs_by_week.prompt_tokens IS
    'Tokens read; 0 for revisions, whose tokens are not stored.';

CREATE OR REPLACE VIEW config_values AS
SELECT configs.config_hash, value.fullkey AS setting, value.atom::VARCHAR AS value
FROM configs, json_tree(configs.config::JSON) AS value
WHERE value.atom IS NOT NULL;
COMMENT ON VIEW config_values IS
    'Every setting of every config that ran, one a row: SELECT setting, value FROM config_values '
    'WHERE config_hash = ''…''';
COMMENT ON COLUMN config_values.setting IS 'Path like $.training.steps; list entries by number.';

CREATE OR REPLACE VIEW config_changes AS
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
    'Settings that edits of a line''s config changed, among those that change results: SELECT * '
    'FROM config_changes WHERE line = ''…'' ORDER BY changed_at, setting';
COMMENT ON COLUMN config_changes.cycle IS 'The first cycle that ran with the edit.';
COMMENT ON COLUMN config_changes.changed_at IS 'Time at which its first run with the edit began.';
COMMENT ON COLUMN config_changes.setting IS
    'Path like training.steps; list entries by number. $ is the root.';
COMMENT ON COLUMN config_changes.former IS 'Value before the edit; null if there was none.';
COMMENT ON COLUMN config_changes.value IS 'Value after the edit; null if there is none.';

CREATE OR REPLACE VIEW run_changes AS
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
COMMENT ON COLUMN run_changes.former IS 'Value in the cycle before; null if there was none.';
