-- What starts a training by itself: pairs that no reward model learnt from, and reward models that
-- no longer agree with their judges.

CREATE OR REPLACE VIEW line_reward_models AS
WITH ended AS (
    SELECT line, cycle, json_extract_string(try_cast(result AS JSON), '$.reward_id') AS used_id,
           coalesce(json_extract_string(try_cast(detail AS JSON), '$.refused'), used_id) AS model_id
    FROM stage_runs WHERE stage = 'train_reward'
    QUALIFY row_number() OVER (PARTITION BY line ORDER BY created_at DESC, number DESC) = 1
)
SELECT ended.line, ended.cycle, ended.model_id, ended.used_id, models.created_at AS trained_at
FROM ended JOIN models ON models.id = ended.model_id;
COMMENT ON VIEW line_reward_models IS
    'The reward model that each policy line trained last, also if it was refused: SELECT line, '
    'model_id, trained_at FROM line_reward_models';
COMMENT ON COLUMN line_reward_models.line IS 'Name of the policy line.';
COMMENT ON COLUMN line_reward_models.cycle IS 'Cycle that trained it last.';
COMMENT ON COLUMN line_reward_models.model_id IS 'models.id.';
COMMENT ON COLUMN line_reward_models.used_id IS
    'models.id of the reward model in use: an earlier one if the last was refused.';
COMMENT ON COLUMN line_reward_models.trained_at IS 'Time at which its training ended, UTC.';

CREATE OR REPLACE VIEW line_rankings AS
WITH paired AS (
    SELECT line, json_extract_string(try_cast(result AS JSON), '$.recipe') AS recipe,
           json_extract_string(try_cast(result AS JSON), '$.prompt_set_id') AS prompt_set_id
    FROM stage_runs WHERE stage = 'pair'
    QUALIFY row_number() OVER (PARTITION BY line ORDER BY created_at DESC, number DESC) = 1
), asked AS (
    SELECT line, recipe, unnest(prompt_ids) AS prompt_id
    FROM paired JOIN prompt_sets ON prompt_sets.id = paired.prompt_set_id
), batches AS (
    SELECT DISTINCT line, json_extract_string(try_cast(detail AS JSON), '$.from') AS model_id,
           json_extract(try_cast(detail AS JSON), '$.seed')::BIGINT AS seed
    FROM stage_runs WHERE stage = 'sample'
), sampled AS (
    SELECT rankings.id AS ranking_id, batches.line, rankings.prompt_id
    FROM batches
    JOIN rankings ON rankings.model_id = batches.model_id AND rankings.seed = batches.seed
    JOIN asked ON asked.line = batches.line AND asked.recipe = rankings.recipe
        AND asked.prompt_id = rankings.prompt_id
    ANTI JOIN tainted_models ON tainted_models.model_id = batches.model_id
    ANTI JOIN tainted_rankings ON tainted_rankings.ranking_id = rankings.id
    QUALIFY row_number() OVER (
        PARTITION BY batches.line, rankings.prompt_id, rankings.model_id, rankings.seed
        ORDER BY len(rankings.judgement_ids) DESC, rankings.created_at) = 1
), learning AS (
    SELECT line, config FROM (
        SELECT line, config_hash FROM cycle_runs
        QUALIFY row_number() OVER (PARTITION BY line ORDER BY created_at DESC) = 1
    ) AS begun JOIN configs ON configs.config_hash = begun.config_hash
), wanted AS (
    SELECT line, unnest(
        json_extract_string(try_cast(config AS JSON), '$.preferences.imported.sources[*]')) AS name
    FROM learning
), imported AS (
    SELECT rankings.id AS ranking_id, wanted.line, rankings.prompt_id
    FROM wanted
    JOIN (SELECT source, judge_version FROM imports
          QUALIFY row_number() OVER (PARTITION BY source ORDER BY created_at DESC) = 1) AS newest
        ON wanted.name IN (newest.source, newest.judge_version)
    JOIN rankings ON rankings.recipe = newest.judge_version
    ANTI JOIN tainted_rankings ON tainted_rankings.ranking_id = rankings.id
)
SELECT ranking_id, line, prompt_id FROM sampled
UNION
SELECT ranking_id, line, prompt_id FROM imported;
COMMENT ON VIEW line_rankings IS
    'The rankings that the next reward model of each line would learn from: those of all its '
    'cycles by its present judges, on its present prompts, and the imported ones.';
COMMENT ON COLUMN line_rankings.ranking_id IS 'rankings.id.';
COMMENT ON COLUMN line_rankings.line IS 'Name of the policy line.';
COMMENT ON COLUMN line_rankings.prompt_id IS 'prompts.id.';

CREATE OR REPLACE VIEW unlearnt_pairs AS
WITH half AS (
    SELECT line, config_hash FROM cycle_runs
    QUALIFY row_number() OVER (PARTITION BY line ORDER BY created_at DESC) = 1
), ties AS (
    SELECT half.line FROM half JOIN configs ON configs.config_hash = half.config_hash
    WHERE json_extract_string(try_cast(config AS JSON), '$.reward_model.ties') = 'half'
), learnt AS (
    SELECT line, input_id AS ranking_id
    FROM line_reward_models
    JOIN model_inputs ON model_inputs.model_id = line_reward_models.model_id
    WHERE input_table = 'rankings' AND role = 'learnt'
)
SELECT line_rankings.line, pairs.id AS pair_id, pairs.ranking_id, pairs.prompt_id, pairs.outcome,
       pairs.margin, pairs.agreement, pairs.created_at AS paired_at
FROM line_rankings
ANTI JOIN learnt ON learnt.line = line_rankings.line AND learnt.ranking_id = line_rankings.ranking_id
JOIN pairs ON pairs.ranking_id = line_rankings.ranking_id
ANTI JOIN tainted_pairs ON tainted_pairs.pair_id = pairs.id
WHERE outcome = 'preferred' OR (outcome = 'tie' AND line_rankings.line IN (SELECT line FROM ties));
COMMENT ON VIEW unlearnt_pairs IS
    'Pairs that a reward model of the line can learn from and its last one did not, which '
    'service.triggers.new_pairs counts: SELECT line, count(*) FROM unlearnt_pairs GROUP BY line';
COMMENT ON COLUMN unlearnt_pairs.line IS 'Name of the policy line.';
COMMENT ON COLUMN unlearnt_pairs.pair_id IS 'pairs.id.';
COMMENT ON COLUMN unlearnt_pairs.outcome IS 'preferred; tie only if reward_model.ties is half.';
COMMENT ON COLUMN unlearnt_pairs.margin IS 'Margin of the label, as in pairs.';
COMMENT ON COLUMN unlearnt_pairs.agreement IS 'Agreement of the judges on the pair, as in pairs.';
COMMENT ON COLUMN unlearnt_pairs.paired_at IS 'Time at which the pair was made, UTC.';

CREATE OR REPLACE VIEW reward_model_agreement AS
WITH rewarded AS (
    SELECT DISTINCT judge_version AS model_id, policy_id, baseline_id FROM evaluations
    WHERE role = 'proxy'
), compared AS (
    SELECT rewarded.*, ours.id AS left_id, theirs.id AS right_id, one.score - other.score AS reward
    FROM rewarded
    JOIN candidates AS ours ON ours.model_id = rewarded.policy_id
    JOIN candidates AS theirs ON theirs.model_id = rewarded.baseline_id
        AND theirs.prompt_id = ours.prompt_id AND theirs.sampling = ours.sampling
        AND theirs.seed = ours.seed AND theirs.sample_index = ours.sample_index
    JOIN opinions AS one ON one.candidate_id = ours.id AND one.judge_version = rewarded.model_id
    JOIN opinions AS other
        ON other.candidate_id = theirs.id AND other.judge_version = rewarded.model_id
    WHERE one.outcome = 'scored' AND other.outcome = 'scored'
), training AS (
    SELECT DISTINCT policy_id, baseline_id, judge, judge_version FROM evaluations
    WHERE role = 'trained_on'
), votes AS (
    SELECT compared.model_id, judge, training.judge_version, reward, one.score - other.score AS vote
    FROM compared
    JOIN training ON training.policy_id = compared.policy_id
        AND training.baseline_id = compared.baseline_id
    JOIN (SELECT candidate_id, judge_version, score FROM opinions WHERE presented = 'alone') AS one
        ON one.candidate_id = left_id AND one.judge_version = training.judge_version
    JOIN (SELECT candidate_id, judge_version, score FROM opinions WHERE presented = 'alone')
        AS other ON other.candidate_id = right_id AND other.judge_version = training.judge_version
    UNION ALL
    SELECT compared.model_id, training.judge, training.judge_version, reward,
           CASE WHEN contest.left_id = compared.left_id THEN 1 ELSE -1 END
               * (left_when_first + left_when_second - 1)
    FROM compared
    JOIN training ON training.policy_id = compared.policy_id
        AND training.baseline_id = compared.baseline_id
    JOIN judge_contests AS contest ON contest.judge_version = training.judge_version
        AND ((contest.left_id = compared.left_id AND contest.right_id = compared.right_id)
             OR (contest.left_id = compared.right_id AND contest.right_id = compared.left_id))
)
SELECT model_id, judge, judge_version, count(*) AS pairs,
       count(*) FILTER (sign(reward) = sign(vote)) / count(*) AS agreement
FROM votes WHERE reward <> 0 AND vote <> 0
GROUP BY model_id, judge, judge_version;
COMMENT ON VIEW reward_model_agreement IS
    'Each reward model against each judge that it was trained on, over the held-out answers of the '
    'policy and its baseline on which both prefer one: SELECT model_id, sum(pairs * agreement) / '
    'sum(pairs) FROM reward_model_agreement GROUP BY 1. service.triggers.agreement_below compares '
    'that.';
COMMENT ON COLUMN reward_model_agreement.model_id IS 'models.id of the reward model.';
COMMENT ON COLUMN reward_model_agreement.judge IS 'The judge''s name in the config.';
COMMENT ON COLUMN reward_model_agreement.pairs IS
    'Number of pairs of answers on which both prefer one.';
COMMENT ON COLUMN reward_model_agreement.agreement IS
    'Share of these pairs on which they prefer the same answer.';
