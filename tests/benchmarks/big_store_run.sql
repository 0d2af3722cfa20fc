-- What one run adds: the variables first, last, model and run say of which prompts, by whom.
CREATE OR REPLACE TEMP TABLE asked AS
SELECT p, id_of('prompts', p::VARCHAR) AS id
FROM range(getvariable('first'), getvariable('last')) AS p(p);

CREATE OR REPLACE TEMP TABLE answered AS
SELECT p, k, key, asked.id AS prompt_id, id_of('candidates', key) AS id, quality(key) AS quality
FROM asked, range(9) AS k(k), LATERAL (SELECT concat_ws('/', getvariable('model'), p, k) AS key)
ORDER BY p, k;

CREATE OR REPLACE TEMP TABLE compared AS
SELECT l.p, l.k AS i, r.k AS j, l.prompt_id, l.key AS left_key, r.key AS right_key,
       l.id AS left_id, r.id AS right_id, l.quality AS left_quality, r.quality AS right_quality,
       l.key || ':' || r.k AS key
FROM answered AS l JOIN answered AS r ON l.p = r.p AND l.k < r.k ORDER BY l.p, i, j;

INSERT INTO configs BY NAME
SELECT id_of('configs', run_id()) AS id, id_of('hash', 'config' || getvariable('run')) AS config_hash,
       json_object('seed', getvariable('run'), 'training', json_object('steps', 32),
           'judges', ['similarity', 'rubric', 'pairwise'])::VARCHAR AS config,
       moment() AS created_at, run_id() AS run_id, 'bench' AS code_version;

INSERT INTO prompts BY NAME
SELECT id, 'Tell me of ' || words('prompt' || p) || ' ' || words('more' || p) || '?' AS text,
       NULL AS context, ['knowledge_seeking', 'creative', 'text_grounded'][1 + p % 3] AS mode,
       [words('reference' || p)] AS reference_answers, 'train' AS split,
       moment() AS created_at, run_id() AS run_id, 'bench' AS code_version
FROM asked WHERE getvariable('model') = 0 ORDER BY p;

INSERT INTO prompt_sets BY NAME
SELECT id_of('prompt_sets', run_id()) AS id, 'big.jsonl' AS source, list(id ORDER BY p) AS prompt_ids,
       moment() AS created_at, run_id() AS run_id, 'bench' AS code_version
FROM asked;

INSERT INTO candidates BY NAME
SELECT id, prompt_id, 'sft-' || id_of('models', 'sft' || getvariable('model')) AS model_id,
       's1' AS sampling, 1.0 AS temperature, 64 AS max_new_tokens, 1 AS seed, k AS sample_index,
       repeat(words(key) || ', ' || words(key || '.') || '. ', sentences(key)) AS text,
       NULL AS token_ids, NULL AS logprobs, 'eos' AS finish_reason, 24 AS prompt_tokens,
       14 * sentences(key) AS completion_tokens, 0.02 AS latency_seconds, 0.0 AS cost_usd,
       moment() AS created_at, run_id() AS run_id, 'bench' AS code_version
FROM answered ORDER BY p, k;

INSERT INTO judgements BY NAME
SELECT id_of('judgements', version || '/' || key) AS id, prompt_id, judge, version AS judge_version,
       answered.id AS candidate_id, NULL AS opponent_id, 'alone' AS presented,
       CASE WHEN unit('read' || version || key) < 0.02 THEN 'unparsed' ELSE 'scored' END AS outcome,
       CASE WHEN unit('read' || version || key) < 0.02 THEN NULL ELSE opinion(version, key) END AS score,
       NULL AS probability, NULL AS raw_output, NULL AS reason, []::VARCHAR[] AS response_ids,
       0.01 + unit(key) / 50 AS latency_seconds, 60 AS prompt_tokens, 0 AS completion_tokens,
       0.0 AS cost_usd, '' AS attempt,
       moment() AS created_at, run_id() AS run_id, 'bench' AS code_version
FROM (VALUES (0, 'similarity', 'similarity-1'), (1, 'verifier', 'verifier-1'),
    (2, 'rubric', 'rubric-1'), (3, 'rubric', 'rubric-2')) AS j(place, judge, version), answered
ORDER BY place, p, k;

-- Each contest in both orders; the first shown is liked a little better than it deserves.
CREATE OR REPLACE TEMP TABLE heard AS
SELECT place, p, i, j, judge, version, shown, prompt_id, key || shown || version AS key,
       CASE shown WHEN 'forward' THEN left_id ELSE right_id END AS candidate_id,
       CASE shown WHEN 'forward' THEN right_id ELSE left_id END AS opponent_id,
       least(1, greatest(0, 0.52 + (CASE shown WHEN 'forward' THEN 1 ELSE -1 END)
           * (left_quality - right_quality) / 2 + (unit(key || shown || version) - 0.5) / 3))
           AS probability
FROM (VALUES (0, 'pairwise', 'pairwise-1'), (1, 'jury', 'jury-1')) AS v(place, judge, version),
     (VALUES ('forward'), ('reversed')) AS o(shown), compared;

INSERT INTO responses BY NAME
SELECT id_of('responses', key) AS id, id_of('requests', key) AS request_hash, 'big-judge' AS model,
       CASE WHEN probability > 0.5 THEN 'A' ELSE 'B' END AS text, NULL AS probabilities,
       'stop' AS finish_reason, 240 AS prompt_tokens, 1 AS completion_tokens,
       0.2 AS latency_seconds, 0.00005 AS cost_usd,
       moment() AS created_at, run_id() AS run_id, 'bench' AS code_version
FROM heard WHERE judge = 'pairwise' ORDER BY p, i, j, shown;

INSERT INTO judgements BY NAME
SELECT id_of('judgements', key) AS id, prompt_id, judge, version AS judge_version,
       candidate_id, opponent_id, shown AS presented,
       CASE WHEN unit('read' || key) < 0.01 THEN 'unparsed' WHEN probability = 0.5 THEN 'tie'
           WHEN probability > 0.5 THEN 'first' ELSE 'second' END AS outcome,
       NULL AS score, CASE WHEN unit('read' || key) < 0.01 THEN NULL ELSE probability END AS probability,
       CASE WHEN judge = 'jury' THEN '{"members": [{"name": "one", "outcome": "first", '
           || '"probability": 0.7, "reason": null}, {"name": "two", "outcome": "second", '
           || '"probability": 0.4, "reason": null}], "spread": 0.3}' END AS raw_output,
       CASE WHEN judge = 'pairwise' AND unit('why' || key) < 0.2 THEN words(key) END AS reason,
       CASE WHEN judge = 'pairwise' THEN [id_of('responses', key)] ELSE [] END AS response_ids,
       0.2 AS latency_seconds, 240 AS prompt_tokens, 1 AS completion_tokens,
       CASE WHEN judge = 'pairwise' THEN 0.00005 ELSE 0 END AS cost_usd, '' AS attempt,
       moment() AS created_at, run_id() AS run_id, 'bench' AS code_version
FROM heard ORDER BY place, p, i, j, shown;

INSERT INTO rankings BY NAME
SELECT id_of('rankings', concat_ws('/', getvariable('model'), p)) AS id, any_value(prompt_id) AS prompt_id,
       'sft-' || id_of('models', 'sft' || getvariable('model')) AS model_id, 1 AS seed, 'recipe' AS recipe,
       list(id ORDER BY quality DESC) AS candidate_ids, list(quality - 0.5 ORDER BY quality DESC) AS utilities,
       list(id_of('judgements', 'similarity-1/' || key) ORDER BY k) AS judgement_ids,
       moment() AS created_at, run_id() AS run_id, 'bench' AS code_version
FROM answered GROUP BY p ORDER BY p;

INSERT INTO pairs BY NAME
SELECT id_of('pairs', key) AS id, prompt_id,
       id_of('rankings', concat_ws('/', getvariable('model'), p)) AS ranking_id, left_id, right_id,
       CASE WHEN abs(left_quality - right_quality) > 0.02 THEN 'preferred' ELSE 'tie' END AS outcome,
       CASE WHEN left_quality - right_quality > 0.02 THEN left_id
            WHEN right_quality - left_quality > 0.02 THEN right_id END AS chosen_id,
       CASE WHEN left_quality - right_quality > 0.02 THEN right_id
            WHEN right_quality - left_quality > 0.02 THEN left_id END AS rejected_id,
       abs(left_quality - right_quality) AS margin, 1.0 AS agreement,
       [id_of('judgements', 'similarity-1/' || left_key), id_of('judgements', 'similarity-1/' || right_key),
        id_of('judgements', key || 'forwardpairwise-1'), id_of('judgements', key || 'reversedpairwise-1')]
           AS judgement_ids,
       ['pairwise-1', 'similarity-1'] AS judge_versions,
       id_of('hash', 'config' || getvariable('run')) AS config_hash,
       moment() AS created_at, run_id() AS run_id, 'bench' AS code_version
FROM compared ORDER BY p, i, j;

INSERT INTO model_inputs BY NAME
SELECT id_of('model_inputs', id) AS id, 'reward-' || id_of('models', 'reward0') AS model_id,
       'rankings' AS input_table, id AS input_id, created_at, run_id, code_version
FROM rankings WHERE rankings.run_id = run_id() ORDER BY rowid;

INSERT INTO model_inputs BY NAME
SELECT id_of('model_inputs', 'sampler' || getvariable('model')) AS id,
       'reward-' || id_of('models', 'reward0') AS model_id, 'models' AS input_table,
       'sft-' || id_of('models', 'sft' || getvariable('model')) AS input_id, 'sampler' AS role,
       moment() AS created_at, run_id() AS run_id, 'bench' AS code_version
WHERE getvariable('first') = 0;

INSERT INTO cycle_runs BY NAME
SELECT id_of('cycle_runs', run_id()) AS id, 'bench' AS line, getvariable('run') + 1 AS cycle,
       id_of('hash', 'config' || getvariable('run')) AS config_hash, '' AS source,
       run_id() AS attempt, moment() AS created_at, run_id() AS run_id, 'bench' AS code_version;

INSERT INTO stage_runs BY NAME
SELECT id_of('stage_runs', stage || run_id()) AS id, 'bench' AS line,
       id_of('hash', 'config' || getvariable('run')) AS config_hash, 1 AS cycle, stage, 60.0 AS seconds,
       '{}' AS detail, 1 AS number, '{}' AS result, moment() AS created_at, run_id() AS run_id, 'bench' AS code_version
FROM (VALUES ('sample'), ('judge'), ('pair')) AS s(stage);
