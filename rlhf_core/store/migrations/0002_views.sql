-- What auditors ask first. Facts stay in 0001's tables; nothing here holds state.

CREATE VIEW opinions AS
SELECT * FROM judgements WHERE outcome IN ('scored', 'first', 'second', 'tie');
COMMENT ON VIEW opinions IS 'Judgements that say something: not unparsed, unavailable or abstaining.';

CREATE VIEW pair_texts AS
SELECT pairs.id AS pair_id, prompts.mode, prompts.split, prompts.text AS prompt,
       prompts.reference_answers, chosen.text AS chosen, rejected.text AS rejected,
       pairs.outcome, pairs.margin, pairs.agreement, pairs.judge_versions
FROM pairs
JOIN prompts ON prompts.id = pairs.prompt_id
LEFT JOIN candidates AS chosen ON chosen.id = pairs.chosen_id
LEFT JOIN candidates AS rejected ON rejected.id = pairs.rejected_id;
COMMENT ON VIEW pair_texts IS 'Each pair with its words: SELECT prompt, chosen, rejected FROM pair_texts.';

CREATE VIEW judge_summary AS
SELECT judge, judge_version, count(*) AS judgements,
       count(*) FILTER (outcome IN ('unparsed', 'unavailable')) AS unscored,
       avg(score) AS mean_score, stddev_samp(score) AS score_deviation,
       avg((outcome = 'tie')::INTEGER) AS tie_rate,
       median(latency_seconds) AS median_latency_seconds, sum(cost_usd) AS cost_usd
FROM judgements GROUP BY judge, judge_version;
COMMENT ON VIEW judge_summary IS 'Each judge version: how much it judged, how it spread, what it cost.';

CREATE VIEW judge_votes AS
-- One row a judge and pair: the margin by which it prefers the left candidate, -1 to 1.
SELECT pairs.id AS pair_id, first_score.judge_version,
       first_score.score - second_score.score AS margin
FROM pairs
JOIN opinions AS first_score ON first_score.candidate_id = pairs.left_id
    AND first_score.presented = 'alone'
JOIN opinions AS second_score ON second_score.candidate_id = pairs.right_id
    AND second_score.presented = 'alone'
    AND second_score.judge_version = first_score.judge_version
UNION ALL
SELECT pairs.id, opinions.judge_version,
       avg(CASE presented WHEN 'forward' THEN 2 * probability - 1 ELSE 1 - 2 * probability END)
FROM pairs
JOIN opinions ON (opinions.candidate_id = pairs.left_id AND opinions.opponent_id = pairs.right_id)
    OR (opinions.candidate_id = pairs.right_id AND opinions.opponent_id = pairs.left_id)
GROUP BY pairs.id, opinions.judge_version;
COMMENT ON VIEW judge_votes IS 'How each judge sees each pair: margin towards the left candidate.';

CREATE VIEW judge_agreement AS
SELECT one.judge_version AS judge, other.judge_version AS other_judge, count(*) AS pairs,
       avg((sign(one.margin) = sign(other.margin))::INTEGER) AS agreement
FROM judge_votes AS one
JOIN judge_votes AS other
    ON one.pair_id = other.pair_id AND one.judge_version < other.judge_version
WHERE one.margin <> 0 AND other.margin <> 0
GROUP BY one.judge_version, other.judge_version;
COMMENT ON VIEW judge_agreement IS 'Share of pairs on which two judges prefer the same candidate.';

CREATE VIEW position_bias AS
SELECT judge, judge_version, count(*) AS comparisons,
       avg((outcome = 'first')::INTEGER) AS chose_first,
       avg((outcome = 'second')::INTEGER) AS chose_second
FROM opinions WHERE opponent_id IS NOT NULL GROUP BY judge, judge_version;
COMMENT ON VIEW position_bias IS 'How often a pairwise judge takes what it saw first; 0.5 is fair.';

CREATE VIEW length_bias AS
SELECT prompts.mode, count(*) AS pairs,
       avg((chosen.completion_tokens > rejected.completion_tokens)::INTEGER) AS longer_chosen
FROM pairs
JOIN prompts ON prompts.id = pairs.prompt_id
JOIN candidates AS chosen ON chosen.id = pairs.chosen_id
JOIN candidates AS rejected ON rejected.id = pairs.rejected_id
WHERE chosen.completion_tokens <> rejected.completion_tokens
GROUP BY prompts.mode;
COMMENT ON VIEW length_bias IS 'How often the longer answer was chosen, by mode.';

CREATE VIEW model_lineage AS
WITH RECURSIVE ancestry AS (
    SELECT id AS model_id, id AS ancestor_id, parent_id, 0 AS generations FROM models
    UNION ALL
    SELECT ancestry.model_id, models.id, models.parent_id, ancestry.generations + 1
    FROM ancestry JOIN models ON models.id = ancestry.parent_id
)
SELECT model_id, ancestor_id, models.kind AS ancestor_kind, generations, models.code_version
FROM ancestry JOIN models ON models.id = ancestry.ancestor_id;
COMMENT ON VIEW model_lineage IS 'Each model with all the models it came from.';

CREATE VIEW model_prompts AS
SELECT DISTINCT model_inputs.model_id,
       coalesce(rankings.prompt_id, model_inputs.input_id) AS prompt_id
FROM model_inputs
LEFT JOIN rankings ON model_inputs.input_table = 'rankings' AND rankings.id = model_inputs.input_id
WHERE model_inputs.input_table IN ('prompts', 'rankings');
COMMENT ON VIEW model_prompts IS 'Which prompts each model learnt from, directly or by a ranking.';

CREATE VIEW check_duplicate_ids AS
SELECT 'prompts' AS table_name, id, count(*) AS copies FROM prompts GROUP BY id HAVING count(*) > 1
UNION ALL SELECT 'candidates', id, count(*) FROM candidates GROUP BY id HAVING count(*) > 1
UNION ALL SELECT 'judgements', id, count(*) FROM judgements GROUP BY id HAVING count(*) > 1
UNION ALL SELECT 'rankings', id, count(*) FROM rankings GROUP BY id HAVING count(*) > 1
UNION ALL SELECT 'pairs', id, count(*) FROM pairs GROUP BY id HAVING count(*) > 1
UNION ALL SELECT 'models', id, count(*) FROM models GROUP BY id HAVING count(*) > 1
UNION ALL SELECT 'metrics', id, count(*) FROM metrics GROUP BY id HAVING count(*) > 1
UNION ALL SELECT 'rollouts', id, count(*) FROM rollouts GROUP BY id HAVING count(*) > 1;
COMMENT ON VIEW check_duplicate_ids IS 'Must be empty: a fact stored twice.';

CREATE VIEW check_orphans AS
SELECT 'candidates' AS table_name, id FROM candidates ANTI JOIN prompts ON prompts.id = prompt_id
UNION ALL
SELECT 'judgements', id FROM judgements ANTI JOIN candidates ON candidates.id = candidate_id
UNION ALL
SELECT 'pairs', id FROM pairs ANTI JOIN rankings ON rankings.id = ranking_id
UNION ALL
SELECT 'pairs', id FROM pairs ANTI JOIN configs ON configs.config_hash = pairs.config_hash
UNION ALL
SELECT 'pairs', pairs.id FROM (SELECT id, unnest(judgement_ids) AS judgement_id FROM pairs) AS pairs
ANTI JOIN judgements ON judgements.id = pairs.judgement_id
UNION ALL
SELECT 'models', models.id FROM models
ANTI JOIN models AS parents ON parents.id = models.parent_id WHERE models.parent_id IS NOT NULL;
COMMENT ON VIEW check_orphans IS 'Must be empty: a fact that refers to one that is not there.';
