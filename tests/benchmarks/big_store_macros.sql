-- What every run of the big store draws from: the same key always draws the same.
CREATE TEMP MACRO id_of(table_name, key) AS md5(table_name || '/' || key)[:20];
CREATE TEMP MACRO unit(key) AS (hash(key) % 1000003)::DOUBLE / 1000003;
CREATE TEMP MACRO word(key) AS ['water', 'seven', 'river', 'mostly', 'light', 'however', 'because',
    'answer', 'north', 'people', 'often', 'between', 'small', 'number', 'first', 'never']
    [1 + (hash(key) % 16)::INTEGER] || (hash(key) // 16 % 50);
CREATE TEMP MACRO words(key) AS concat_ws(' ', word(key || 'a'), word(key || 'b'),
    word(key || 'c'), word(key || 'd'), word(key || 'e'), word(key || 'f'));
-- Of nine answers to a prompt: how good one is, and how long.
CREATE TEMP MACRO quality(key) AS unit('quality' || key);
CREATE TEMP MACRO sentences(key) AS 1 + (hash('long' || key) % 6)::INTEGER;
CREATE TEMP MACRO opinion(judge, key) AS
    least(1, greatest(0, 0.7 * quality(key) + 0.3 * unit(judge || key)));
CREATE TEMP MACRO run_id() AS 'run-' || getvariable('run');
CREATE TEMP MACRO moment() AS
    TIMESTAMPTZ '2026-06-01 02:00:00+00' + to_days(8 * getvariable('run')::INTEGER);

INSERT INTO models BY NAME
SELECT kind || '-' || id_of('models', kind || n) AS id, kind, 'big' AS base,
       CASE WHEN kind = 'base' THEN NULL ELSE 'base-' || id_of('models', 'base0') END AS parent_id,
       '{}' AS recipe, '' AS data_hash, n AS seed, id_of('hash', 'config0') AS config_hash,
       TIMESTAMPTZ '2026-06-01 00:00:00+00' AS created_at, 'run-0' AS run_id, 'bench' AS code_version
FROM (VALUES ('base', 0), ('sft', 0), ('sft', 1), ('reward', 0), ('policy', 0)) AS m(kind, n);
