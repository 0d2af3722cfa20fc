-- What changed from one run to the next: rows, judges, settings.
-- $run = %: a run's id, % for all
SELECT run_id, former_run_id, what, former, value
FROM run_changes
WHERE run_id LIKE $run
ORDER BY run_id, what;
