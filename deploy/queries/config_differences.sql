-- Settings that differ between two configs; by default between the two newest.
-- $config = newest: a config's hash, or its beginning
-- $other = former: the other config's hash, or its beginning
WITH ordered AS (
    SELECT config_hash, row_number() OVER (ORDER BY created_at DESC, config_hash) AS place
    FROM configs
), one AS (
    SELECT setting, value FROM config_values JOIN ordered USING (config_hash)
    WHERE CASE $config WHEN 'newest' THEN place = 1 ELSE starts_with(config_hash, $config) END
), other AS (
    SELECT setting, value FROM config_values JOIN ordered USING (config_hash)
    WHERE CASE $other WHEN 'former' THEN place = 2 ELSE starts_with(config_hash, $other) END
)
SELECT coalesce(one.setting, other.setting) AS setting, one.value, other.value AS other_value
FROM one FULL JOIN other ON other.setting = one.setting
WHERE one.value IS DISTINCT FROM other.value
ORDER BY setting;
