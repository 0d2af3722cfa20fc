-- Which settings differ between two configs.
-- $config: a config's hash
-- $other: the other config's hash
SELECT coalesce(one.setting, other.setting) AS setting, one.value, other.value AS other_value
FROM (SELECT * FROM config_values WHERE config_hash = $config) AS one
FULL JOIN (SELECT * FROM config_values WHERE config_hash = $other) AS other
    ON other.setting = one.setting
WHERE one.value IS DISTINCT FROM other.value
ORDER BY setting;
