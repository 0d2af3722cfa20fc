-- Settings that edits of each line's config changed, among those that change results.
-- $line = %: a policy line, % for all
SELECT line, cycle, changed_at, setting, former, value
FROM config_changes
WHERE line LIKE $line
ORDER BY line, changed_at, setting;
