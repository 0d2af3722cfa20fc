-- Models: what they rest on, and which are live. Only models, which are few, are walked by recursion;
-- everything else is a join that a filter by id prunes.

CREATE OR REPLACE VIEW model_lineage AS
WITH RECURSIVE ancestry AS (
    SELECT id AS model_id, id AS ancestor_id, parent_id, 0 AS generations FROM models
    UNION ALL
    SELECT ancestry.model_id, models.id, models.parent_id, ancestry.generations + 1
    FROM ancestry JOIN models ON models.id = ancestry.parent_id
)
SELECT model_id, ancestor_id, models.kind AS ancestor_kind, generations, models.code_version
FROM ancestry JOIN models ON models.id = ancestry.ancestor_id;
COMMENT ON VIEW model_lineage IS
    'Each model with the chain of models that it was initialised from; model_ancestry also has '
    'those that taught it.';
COMMENT ON COLUMN model_lineage.ancestor_id IS
    'A model that it was initialised from; the model itself if generations is 0.';
COMMENT ON COLUMN model_lineage.generations IS 'Number of trainings between the two.';
COMMENT ON COLUMN model_lineage.code_version IS 'Code version that made the ancestor.';

CREATE OR REPLACE VIEW model_runs AS
SELECT models.id AS model_id, models.kind, by_run.line, by_run.cycle, models.config_hash,
       models.created_at
FROM models LEFT JOIN (SELECT DISTINCT run_id, line, cycle FROM cycle_runs) AS by_run
    ON by_run.run_id = models.run_id;
COMMENT ON VIEW model_runs IS
    'The line and cycle that made each model first: SELECT * FROM model_runs WHERE line = ''…'' '
    'ORDER BY created_at';
COMMENT ON COLUMN model_runs.model_id IS 'models.id.';
COMMENT ON COLUMN model_runs.line IS 'Name of the policy line; null for models that no cycle made.';
COMMENT ON COLUMN model_runs.cycle IS 'Number of the cycle.';

CREATE OR REPLACE VIEW model_sources AS
SELECT id AS model_id, parent_id AS source_id, 'parent' AS relation
FROM models WHERE parent_id IS NOT NULL
UNION ALL
SELECT model_id, input_id, CASE role WHEN 'learnt' THEN 'input' ELSE role END
FROM model_inputs WHERE input_table = 'models';
COMMENT ON VIEW model_sources IS
    'The models that a model rests on: one that it was initialised from (parent, or base if the '
    'config names a policy of this store), a reward model that trained or selected it (input), '
    'one whose answers, verdicts or revisions it learnt from (sampler, judge, reviser).';
COMMENT ON COLUMN model_sources.model_id IS 'models.id of the later model.';
COMMENT ON COLUMN model_sources.source_id IS 'models.id of the earlier model.';
COMMENT ON COLUMN model_sources.relation IS 'parent, base, input, sampler, judge or reviser.';

CREATE OR REPLACE VIEW model_ancestry AS
WITH RECURSIVE edges AS MATERIALIZED (SELECT DISTINCT model_id, source_id FROM model_sources),
ancestry AS (
    SELECT id AS model_id, id AS ancestor_id FROM models
    UNION
    SELECT ancestry.model_id, edges.source_id
    FROM ancestry JOIN edges ON edges.model_id = ancestry.ancestor_id
)
SELECT ancestry.model_id, ancestor_id, models.kind AS ancestor_kind
FROM ancestry JOIN models ON models.id = ancestor_id;
COMMENT ON VIEW model_ancestry IS
    'Each model with itself and every model behind it, by any relation of model_sources: join it '
    'to model_pairs, model_judges or model_prompts ON ancestor_id to see all that a policy rests '
    'on.';
COMMENT ON COLUMN model_ancestry.model_id IS 'models.id.';
COMMENT ON COLUMN model_ancestry.ancestor_id IS 'models.id of a model behind it, or its own.';
COMMENT ON COLUMN model_ancestry.ancestor_kind IS 'models.kind of the ancestor.';

CREATE OR REPLACE VIEW model_promotions AS
SELECT begun.id AS model_id, promotions.id AS promotion_id, promotions.policy_id,
       promotions.cycle, promotions.evaluation_id
FROM models AS begun
JOIN (SELECT DISTINCT run_id, line FROM cycle_runs) AS by_run ON by_run.run_id = begun.run_id
JOIN promotions ON promotions.policy_id = begun.parent_id AND promotions.promoted
    AND promotions.line = by_run.line;
COMMENT ON VIEW model_promotions IS
    'The promotion of a policy, for each model that was trained from it in a later cycle: SELECT '
    '* FROM model_promotions JOIN evaluations ON evaluations.id = evaluation_id.';
COMMENT ON COLUMN model_promotions.model_id IS 'models.id of the later model.';
COMMENT ON COLUMN model_promotions.promotion_id IS 'promotions.id.';
COMMENT ON COLUMN model_promotions.policy_id IS 'models.id of the promoted policy, its parent.';
COMMENT ON COLUMN model_promotions.cycle IS 'Cycle in which it was promoted.';
COMMENT ON COLUMN model_promotions.evaluation_id IS
    'evaluations.id of the evaluation that decided.';

CREATE OR REPLACE VIEW standing_promotions AS
WITH decided AS (
    SELECT promotions.id,
           arg_max(rollbacks.to_cycle < promotions.cycle, rollbacks.number) AS is_withdrawn
    FROM promotions JOIN rollbacks ON rollbacks.line = promotions.line
        AND promotions.cycle BETWEEN rollbacks.to_cycle AND rollbacks.after_cycle
    GROUP BY promotions.id
)
SELECT promotions.* FROM promotions LEFT JOIN decided ON decided.id = promotions.id
WHERE promoted AND NOT coalesce(is_withdrawn, false);
COMMENT ON VIEW standing_promotions IS
    'The promotions that no rollback withdrew. The one of the highest cycle of a line made its '
    'champion; the one before it is what `solon rollback` returns to.';

CREATE OR REPLACE VIEW live_models AS
WITH standing AS (
    SELECT *, row_number() OVER (PARTITION BY line ORDER BY cycle DESC, created_at DESC) AS place
    FROM standing_promotions
), reverted AS (
    SELECT line, max(after_cycle) AS after_cycle, arg_max(created_at, number) AS created_at
    FROM rollbacks GROUP BY line
), refused AS (
    SELECT line, cycle FROM promotions WHERE NOT promoted
)
SELECT live.line, live.policy_id AS model_id, live.cycle,
       CASE WHEN reverted.after_cycle >= live.cycle THEN reverted.created_at
            ELSE live.created_at END AS live_since,
       models.base, evaluations.judge, evaluations.win_rate, evaluations.win_rate_low,
       evaluations.win_rate_high, evaluations.prompts, live.evaluation_id,
       (SELECT count(*) FROM refused WHERE refused.line = live.line
        AND refused.cycle > greatest(live.cycle, coalesce(reverted.after_cycle, 0)))
           AS refused_since
FROM standing AS live
JOIN models ON models.id = live.policy_id
LEFT JOIN evaluations ON evaluations.id = live.evaluation_id
LEFT JOIN reverted ON reverted.line = live.line
WHERE live.place = 1;
COMMENT ON VIEW live_models IS
    'The champion of each policy line, which is the policy promoted last unless a rollback withdrew '
    'it, with the evaluation that decided: SELECT line, model_id, live_since, win_rate FROM '
    'live_models. A line without a row uses its SFT model.';
COMMENT ON COLUMN live_models.line IS 'Name of the policy line.';
COMMENT ON COLUMN live_models.cycle IS 'Cycle in which it was promoted.';
COMMENT ON COLUMN live_models.live_since IS
    'Time of its promotion, or of the rollback that made it the champion again.';
COMMENT ON COLUMN live_models.prompts IS 'Number of held-out prompts behind the win rate.';
COMMENT ON COLUMN live_models.refused_since IS
    'Number of cycles of the line since then whose policy was refused.';

CREATE OR REPLACE VIEW model_comparisons AS
WITH decisions AS (
    SELECT line, cycle, evaluation_id FROM promotions
    UNION SELECT line, cycle, evaluation_id FROM approval_requests
)
SELECT decisions.line, decisions.cycle, evaluations.id AS evaluation_id, evaluations.judge,
       evaluations.judge_version, evaluations.policy_id, evaluations.baseline_id,
       count(DISTINCT prompt_id) FILTER (margin IS NOT NULL) AS prompts,
       count(*) FILTER (margin > 0) AS wins, count(*) FILTER (margin = 0) AS ties,
       count(*) FILTER (margin < 0) AS losses, count(*) FILTER (margin IS NULL) AS unscored
FROM decisions
JOIN evaluations ON evaluations.id = decisions.evaluation_id
JOIN evaluation_results ON evaluation_results.evaluation_id = evaluations.id
GROUP BY ALL;
COMMENT ON VIEW model_comparisons IS
    'How often each policy of a line won against its baseline in the evaluation that decided on it: '
    'SELECT * FROM model_comparisons WHERE line = ''…'' ORDER BY cycle. `solon champion --all` '
    'puts all of them on one scale.';
COMMENT ON COLUMN model_comparisons.line IS 'Name of the policy line.';
COMMENT ON COLUMN model_comparisons.cycle IS 'Cycle that it decided on.';
COMMENT ON COLUMN model_comparisons.prompts IS
    'Number of held-out prompts with a comparison that the judge had an opinion on.';
COMMENT ON COLUMN model_comparisons.wins IS
    'Number of comparisons in which the judge preferred the policy''s answer.';
COMMENT ON COLUMN model_comparisons.ties IS 'Number of tied comparisons.';
COMMENT ON COLUMN model_comparisons.losses IS
    'Number of comparisons in which the judge preferred the baseline''s answer.';
COMMENT ON COLUMN model_comparisons.unscored IS
    'Number of comparisons that the judge had no opinion on.';

CREATE OR REPLACE VIEW open_approvals AS
SELECT * FROM approval_requests AS request
WHERE NOT EXISTS (SELECT 1 FROM promotions
                  WHERE promotions.line = request.line AND promotions.cycle = request.cycle)
    AND NOT EXISTS (SELECT 1 FROM approvals
                    WHERE approvals.line = request.line AND approvals.cycle = request.cycle
                        AND approvals.policy_id = request.policy_id)
QUALIFY row_number() OVER (PARTITION BY line, cycle ORDER BY created_at DESC) = 1;
COMMENT ON VIEW open_approvals IS
    'Policies that wait for `solon approve` or `solon reject`: SELECT line, cycle, policy_id, '
    'reasons FROM open_approvals';

CREATE OR REPLACE VIEW champion_changes AS
SELECT promotions.id, promotions.line, promotions.cycle AS after_cycle, 0 AS number,
       promotions.created_at,
       'promoted' AS change, baseline_id AS from_id, promotions.policy_id AS to_id,
       coalesce(approvals.decided_by, 'solon') AS decided_by,
       array_to_string(reasons, '; ') AS reason
FROM promotions LEFT JOIN approvals ON approvals.line = promotions.line
    AND approvals.cycle = promotions.cycle AND approvals.policy_id = promotions.policy_id
WHERE promoted
UNION ALL
SELECT id, line, after_cycle, number, created_at, 'rolled back', from_id, to_id, decided_by, reason
FROM rollbacks;
COMMENT ON VIEW champion_changes IS
    'Every change of a line''s champion, with who decided it and why: SELECT * FROM '
    'champion_changes WHERE line = ''…'' ORDER BY after_cycle, number';
COMMENT ON COLUMN champion_changes.id IS 'promotions.id or rollbacks.id.';
COMMENT ON COLUMN champion_changes.line IS 'Name of the policy line.';
COMMENT ON COLUMN champion_changes.after_cycle IS
    'The cycle that was promoted, or the last decided one at a rollback.';
COMMENT ON COLUMN champion_changes.number IS 'Number of the rollback; 0 for a promotion.';
COMMENT ON COLUMN champion_changes.change IS 'promoted or rolled back.';
COMMENT ON COLUMN champion_changes.from_id IS
    'models.id of the former champion; for a promotion, of the baseline that was beaten.';
COMMENT ON COLUMN champion_changes.to_id IS 'models.id of the new champion.';
COMMENT ON COLUMN champion_changes.decided_by IS
    'Name of the person who decided; solon where the conditions of promotion did.';
COMMENT ON COLUMN champion_changes.reason IS 'The reasons, in words.';

CREATE OR REPLACE VIEW model_prompts AS
SELECT model_id, input_id AS prompt_id FROM model_inputs WHERE input_table = 'prompts'
UNION
SELECT model_inputs.model_id, rankings.prompt_id FROM model_inputs
JOIN rankings ON model_inputs.input_table = 'rankings' AND rankings.id = model_inputs.input_id
UNION
SELECT model_inputs.model_id, revisions.prompt_id FROM model_inputs
JOIN revisions ON model_inputs.input_table = 'revisions' AND revisions.id = model_inputs.input_id;
COMMENT ON VIEW model_prompts IS
    'The prompts that each model itself rests on: directly, through a ranking or through a '
    'revision; also those that selected its checkpoint or centred its rewards (model_inputs.role).';
COMMENT ON COLUMN model_prompts.model_id IS 'models.id.';
COMMENT ON COLUMN model_prompts.prompt_id IS 'prompts.id.';

CREATE OR REPLACE VIEW prompt_models AS
SELECT prompt_id, model_ancestry.model_id,
       bool_or(model_ancestry.model_id = ancestor_id) AS is_direct
FROM model_prompts JOIN model_ancestry ON ancestor_id = model_prompts.model_id
GROUP BY prompt_id, model_ancestry.model_id;
COMMENT ON VIEW prompt_models IS
    'The models that rest on each prompt: SELECT * FROM prompt_models WHERE prompt_id = ''…''.';
COMMENT ON COLUMN prompt_models.prompt_id IS 'prompts.id.';
COMMENT ON COLUMN prompt_models.model_id IS 'models.id.';
COMMENT ON COLUMN prompt_models.is_direct IS
    'True if the model itself rests on the prompt, and not only a model behind it.';

CREATE OR REPLACE VIEW model_pairs AS
SELECT model_inputs.model_id, pairs.id AS pair_id, pairs.ranking_id, pairs.outcome
FROM model_inputs
JOIN pairs ON model_inputs.input_table = 'rankings' AND pairs.ranking_id = model_inputs.input_id;
COMMENT ON VIEW model_pairs IS
    'The pairs of the rankings that a model itself learnt from. It learnt nothing from unscored '
    'pairs, nor from ties unless reward_model.ties is half.';
COMMENT ON COLUMN model_pairs.model_id IS 'models.id.';
COMMENT ON COLUMN model_pairs.pair_id IS 'pairs.id.';
COMMENT ON COLUMN model_pairs.ranking_id IS 'rankings.id.';
COMMENT ON COLUMN model_pairs.outcome IS 'preferred, tie or unscored.';

CREATE OR REPLACE VIEW model_judgements AS
SELECT model_inputs.model_id, unnest(rankings.judgement_ids) AS judgement_id, 'rankings' AS through
FROM model_inputs
JOIN rankings ON model_inputs.input_table = 'rankings' AND rankings.id = model_inputs.input_id
UNION ALL
SELECT model_id, input_id, 'judgements' FROM model_inputs WHERE input_table = 'judgements';
COMMENT ON VIEW model_judgements IS
    'The judgements behind what a model itself learnt from: those of its rankings, and the '
    'verdicts that taught it to say "I don''t know".';
COMMENT ON COLUMN model_judgements.model_id IS 'models.id.';
COMMENT ON COLUMN model_judgements.judgement_id IS 'judgements.id.';
COMMENT ON COLUMN model_judgements.through IS
    'The input_table of the judgement: rankings or judgements.';

CREATE OR REPLACE VIEW model_judges AS
SELECT DISTINCT model_inputs.model_id, unnest(pairs.judge_versions) AS judge_version,
       'rankings' AS role
FROM model_inputs
JOIN pairs ON model_inputs.input_table = 'rankings' AND pairs.ranking_id = model_inputs.input_id
UNION ALL
SELECT DISTINCT model_inputs.model_id, judgements.judge_version, 'judgements' FROM model_inputs
JOIN judgements ON model_inputs.input_table = 'judgements' AND judgements.id = model_inputs.input_id
UNION ALL
SELECT id, unnest(json_extract_string(try_cast(recipe AS JSON), '$.reward_judges[*]')), 'reward'
FROM models WHERE kind = 'policy'
UNION ALL
SELECT DISTINCT policy_id, judge_version, 'evaluation' FROM evaluations;
COMMENT ON VIEW model_judges IS
    'The judge versions behind each model: those of its rankings, those that taught it what it '
    'does not know (judgements), those inside the reward of its training, and those of its '
    'evaluation, which taught it nothing.';
COMMENT ON COLUMN model_judges.model_id IS 'models.id.';
COMMENT ON COLUMN model_judges.judge_version IS 'judgements.judge_version.';
COMMENT ON COLUMN model_judges.role IS 'rankings, judgements, reward or evaluation.';

CREATE OR REPLACE VIEW cycle_figures AS
WITH alarms AS (SELECT model_id, count(*) AS alarms FROM guard_alarms GROUP BY model_id),
accuracy AS (
    SELECT line, cycle, arg_max(accuracy, created_at) AS accuracy FROM reward_comparisons
    GROUP BY line, cycle
),
spent AS (
    SELECT line, cycle, sum(cost_usd) AS cost_usd
    FROM (
        SELECT run_id, cost_usd FROM candidates
        UNION ALL SELECT run_id, cost_usd FROM judgements
        UNION ALL SELECT run_id, cost_usd FROM rollout_verdicts
        UNION ALL SELECT run_id, cost_usd FROM reworded_verdicts
    ) JOIN (SELECT DISTINCT run_id, line, cycle FROM cycle_runs) USING (run_id)
    GROUP BY line, cycle
),
took AS (SELECT line, cycle, sum(seconds) AS seconds FROM stage_runs GROUP BY line, cycle)
SELECT promotions.line, promotions.cycle, promotions.created_at AS decided_at, promoted,
       promotions.policy_id, promotions.baseline_id, evaluations.judge, evaluations.prompts,
       win_rate, win_rate_low, win_rate_high, error_rate, win_rate_bound,
       controlled.value AS length_controlled, kl, baseline_tokens, policy_tokens,
       accuracy.accuracy AS reward_accuracy, coalesce(alarms, 0) AS alarms,
       coalesce(cost_usd, 0.0) AS cost_usd, took.seconds
FROM promotions
JOIN evaluations ON evaluations.id = promotions.evaluation_id
LEFT JOIN evaluation_figures AS controlled ON controlled.evaluation_id = evaluations.id
    AND controlled.metric = 'length_controlled_win_rate' AND controlled.facet = ''
LEFT JOIN alarms ON alarms.model_id = promotions.policy_id
LEFT JOIN accuracy USING (line, cycle)
LEFT JOIN spent USING (line, cycle)
LEFT JOIN took USING (line, cycle);
COMMENT ON VIEW cycle_figures IS
    'The figures of each decided cycle beside each other: SELECT * FROM cycle_figures WHERE line = '
    '''…'' ORDER BY cycle';
COMMENT ON COLUMN cycle_figures.line IS 'Name of the policy line.';
COMMENT ON COLUMN cycle_figures.cycle IS 'Number of the cycle, from 1.';
COMMENT ON COLUMN cycle_figures.decided_at IS 'Time of the decision, UTC.';
COMMENT ON COLUMN cycle_figures.promoted IS 'True if the policy was promoted.';
COMMENT ON COLUMN cycle_figures.policy_id IS 'models.id of the policy.';
COMMENT ON COLUMN cycle_figures.baseline_id IS 'models.id of what it was compared with.';
COMMENT ON COLUMN cycle_figures.judge IS 'The judge that decided.';
COMMENT ON COLUMN cycle_figures.prompts IS 'Held-out prompts that it scored.';
COMMENT ON COLUMN cycle_figures.error_rate IS 'promotions.error_rate.';
COMMENT ON COLUMN cycle_figures.win_rate_bound IS 'promotions.win_rate_bound.';
COMMENT ON COLUMN cycle_figures.length_controlled IS
    'Win rate if both models'' answers were equally long; null if it is not defined.';
COMMENT ON COLUMN cycle_figures.kl IS
    'Mean KL divergence of the policy from the SFT model, in nats an answer.';
COMMENT ON COLUMN cycle_figures.reward_accuracy IS
    'Share of held-out pairs in whose order the reward model scores; null without a comparison.';
COMMENT ON COLUMN cycle_figures.alarms IS 'Alarms of the guard about the policy.';
COMMENT ON COLUMN cycle_figures.cost_usd IS 'Cost of the cycle''s remote calls, in US dollars.';
COMMENT ON COLUMN cycle_figures.seconds IS 'Time of all its stages, in seconds.';
