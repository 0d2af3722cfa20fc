-- How long each stage of each cycle took, and what it ended with.
SELECT config_hash, cycle, stage, round(seconds, 1) AS seconds, detail, created_at AS ended_at
FROM stage_runs
ORDER BY ended_at, stage;
