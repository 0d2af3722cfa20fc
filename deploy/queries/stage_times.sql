-- Duration and result of each stage of each cycle.
SELECT line, cycle, stage, round(seconds, 1) AS seconds, detail, created_at AS ended_at, config_hash
FROM stage_runs
ORDER BY ended_at, stage;
