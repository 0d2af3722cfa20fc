-- What changed from one cycle of a line to the next: rows, judges, settings.
-- $line = %: a policy line, % for all
SELECT line, cycle, former_cycle, what, former, value
FROM run_changes
WHERE line LIKE $line
ORDER BY line, cycle, what;
