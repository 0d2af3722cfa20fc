-- Checks, one view each: empty if all is well, else with what, id and detail of each case. `solon check`
-- prints the comment: the severity, then what it means and what to do.

CREATE OR REPLACE VIEW check_models_on_retracted AS
SELECT 'models' AS what, model_id AS id,
       'learnt from ' || own_rows || ' rows that rest on retracted facts, and the models behind it '
       || 'from ' || inherited_rows || '; train it again without them' AS detail
FROM tainted_models;
COMMENT ON VIEW check_models_on_retracted IS
    'error: A model learnt from facts that were retracted later. Train it again without them; '
    'until then, do not promote it.';
COMMENT ON COLUMN check_models_on_retracted.what IS 'Always models.';
COMMENT ON COLUMN check_models_on_retracted.id IS 'models.id.';
COMMENT ON COLUMN check_models_on_retracted.detail IS 'Number of such rows that it learnt from.';

CREATE OR REPLACE VIEW check_pair_sides AS
SELECT CASE WHEN left_id = right_id THEN 'same candidate twice'
            WHEN outcome = 'preferred' THEN 'chosen and rejected are not left and right'
            ELSE 'chosen without a preference' END AS what,
       id, outcome || ': chosen ' || coalesce(chosen_id, 'none') AS detail
FROM pairs
WHERE left_id = right_id
    OR (outcome = 'preferred') <> (chosen_id IS NOT NULL AND rejected_id IS NOT NULL)
    OR (outcome = 'preferred'
        AND (least(chosen_id, rejected_id), greatest(chosen_id, rejected_id))
            IS DISTINCT FROM (least(left_id, right_id), greatest(left_id, right_id)))
    OR (outcome <> 'preferred' AND (chosen_id IS NOT NULL OR rejected_id IS NOT NULL));
COMMENT ON VIEW check_pair_sides IS
    'error: A pair''s chosen and rejected candidates are not its two sides. Nothing trained on it '
    'can be explained; find out which code version wrote it.';

CREATE OR REPLACE VIEW check_identical_texts AS
SELECT 'chosen = rejected' AS what, pair_id AS id, left(text, 80) AS detail FROM identical_pairs;
COMMENT ON VIEW check_identical_texts IS
    'warning: A pair prefers a text to the same text, which is a tie by definition unless one of '
    'the two was cut off. Pair again, with solon run.';

CREATE OR REPLACE VIEW check_margins AS
SELECT 'margin' AS what, id, coalesce(margin::VARCHAR, 'none') || ' of a pair ' || outcome AS detail
FROM pairs
WHERE NOT coalesce(margin BETWEEN 0 AND 2, outcome = 'unscored' OR len(judgement_ids) = 0)
UNION ALL
SELECT 'margin', wide.id, wide.margin || ' in a ranking of ' || len(rankings.candidate_ids)
FROM (
    SELECT id, ranking_id, margin, model_margin FROM pairs
    WHERE margin > 1 + 1e-9 AND margin <= 2
) AS wide
JOIN rankings ON rankings.id = wide.ranking_id
WHERE rankings.recipe NOT LIKE 'external-%'
    AND wide.margin > CASE WHEN model_margin IS NULL
                           THEN 2 - 2.0 / len(rankings.candidate_ids) ELSE 1 END + 1e-9
UNION ALL
SELECT 'model_margin', id, model_margin::VARCHAR FROM pairs
WHERE NOT coalesce(model_margin BETWEEN -1 AND 1, true)
UNION ALL
SELECT 'agreement', id, agreement::VARCHAR FROM pairs
WHERE NOT coalesce(agreement BETWEEN 0 AND 1, true);
COMMENT ON VIEW check_margins IS
    'error: A margin is missing, or outside 0 to 1 (0 to 2 for imported pairs, 0 to 2 - 2/K for '
    'pairs without model_margin), or a model_margin is outside -1 to 1, or an agreement is not a '
    'share. Losses with a margin would be wrong; find out which code version wrote it.';

CREATE OR REPLACE VIEW check_unfounded_preferences AS
SELECT 'no judgement' AS what, id, 'ranking ' || ranking_id AS detail
FROM pairs WHERE outcome = 'preferred' AND len(judgement_ids) = 0;
COMMENT ON VIEW check_unfounded_preferences IS
    'warning: A preference between two candidates that no judge compared. Pair again, with solon '
    'run, before training on them.';

CREATE OR REPLACE VIEW check_utilities AS
SELECT CASE WHEN len(utilities) <> len(candidate_ids) THEN 'lengths differ'
            ELSE 'not best first' END AS what,
       id, len(candidate_ids) || ' candidates, utilities ' || utilities::VARCHAR AS detail
FROM rankings
WHERE len(utilities) <> len(candidate_ids) OR utilities <> list_reverse_sort(utilities);
COMMENT ON VIEW check_utilities IS
    'error: A ranking does not have one utility a candidate, best first. The reward model would '
    'learn a wrong order; find out which code version wrote it.';

CREATE OR REPLACE VIEW check_judgement_ranges AS
SELECT 'score' AS what, id, judge_version || ': ' || score AS detail
FROM judgements WHERE judge <> 'proxy' AND NOT coalesce(score BETWEEN 0 AND 1, true)
UNION ALL
SELECT 'probability', id, judge_version || ': ' || probability
FROM judgements WHERE NOT coalesce(probability BETWEEN 0 AND 1, true);
COMMENT ON VIEW check_judgement_ranges IS
    'error: A judge''s score or probability is outside 0 to 1, so it outweighs all others. Fix '
    'the judge, give it a new version and judge again.';

CREATE OR REPLACE VIEW check_closed_sets AS
SELECT 'judgements.outcome' AS what, id, outcome AS detail FROM judgements
WHERE outcome NOT IN ('scored', 'first', 'second', 'tie', 'abstains', 'unparsed', 'unavailable')
UNION ALL
SELECT 'judgements.presented', id, presented FROM judgements
WHERE presented NOT IN ('alone', 'forward', 'reversed')
UNION ALL
SELECT 'pairs.outcome', id, outcome FROM pairs WHERE outcome NOT IN ('preferred', 'tie', 'unscored')
UNION ALL
SELECT 'prompts.mode', id, mode FROM prompts
WHERE mode NOT IN ('text_grounded', 'knowledge_seeking', 'creative')
UNION ALL
SELECT 'prompts.split', id, split FROM prompts WHERE split NOT IN ('train', 'holdout')
UNION ALL
SELECT 'models.kind', id, kind FROM models
WHERE kind NOT IN ('base', 'endpoint', 'external', 'sft', 'reward', 'policy');
COMMENT ON VIEW check_closed_sets IS
    'error: A value is outside its closed set, so views and stages skip the row. It was not '
    'written by Solon, or by a newer version.';

CREATE OR REPLACE VIEW check_opinions AS
SELECT 'score missing' AS what, id, judge_version AS detail FROM judgements
WHERE outcome = 'scored' AND score IS NULL
UNION ALL
SELECT 'vote without an opinion', id, judge_version || ': ' || outcome FROM judgements
WHERE outcome IN ('abstains', 'unparsed', 'unavailable')
    AND (score IS NOT NULL OR probability IS NOT NULL)
UNION ALL
SELECT 'verdict and probability differ', id, judge_version || ': ' || outcome || ', ' || probability
FROM judgements
WHERE (outcome = 'first' AND probability < 0.5) OR (outcome = 'second' AND probability > 0.5);
COMMENT ON VIEW check_opinions IS
    'error: A judgement contradicts itself: an opinion without a figure, or a figure without an '
    'opinion. Fix the judge, give it a new version and judge again.';

CREATE OR REPLACE VIEW check_opponents AS
SELECT CASE WHEN opponent_id = candidate_id THEN 'against itself'
            WHEN opponent_id IS NULL THEN 'no opponent' ELSE 'alone with an opponent' END AS what,
       id, judge_version || ': ' || presented || ', ' || outcome AS detail
FROM judgements
WHERE opponent_id = candidate_id
    OR (opponent_id IS NULL) <> (presented = 'alone')
    OR (opponent_id IS NULL AND outcome IN ('first', 'second', 'tie'))
    OR (opponent_id IS NOT NULL AND outcome = 'scored');
COMMENT ON VIEW check_opponents IS
    'error: A comparison has no opponent, or a score has one, so it is never a vote. Fix the '
    'judge, give it a new version and judge again.';

CREATE OR REPLACE VIEW check_holdout_training AS
SELECT 'model_prompts' AS what, model_id AS id, 'prompt ' || prompt_id AS detail
FROM model_prompts JOIN prompts ON prompts.id = prompt_id WHERE split = 'holdout'
UNION ALL
SELECT 'rollouts', rollouts.model_id, 'prompt ' || rollouts.prompt_id
FROM rollouts JOIN prompts ON prompts.id = rollouts.prompt_id WHERE split = 'holdout';
COMMENT ON VIEW check_holdout_training IS
    'error: A model learnt from held-out prompts, so its evaluation says nothing. Do not promote '
    'it; train again from the train split.';

CREATE OR REPLACE VIEW check_split_leaks AS
SELECT 'train and holdout' AS what, prompt_ids[1] AS id, left(words, 80) AS detail
FROM duplicate_prompts WHERE len(splits) > 1
UNION ALL
SELECT 'train and holdout, nearly', prompt_id, left(other_text, 80)
FROM near_duplicate_prompts WHERE split <> other_split;
COMMENT ON VIEW check_split_leaks IS
    'warning: A prompt is in the train split and, in nearly the same words, in the holdout, which '
    'flatters the policy. Remove one of them from the prompt file.';

CREATE OR REPLACE VIEW check_judges_of_both AS
SELECT DISTINCT 'trained and decides' AS what, evaluations.id, evaluations.judge_version AS detail
FROM evaluations
JOIN model_ancestry ON model_ancestry.model_id = evaluations.policy_id
JOIN model_judges ON model_judges.model_id = ancestor_id
    AND model_judges.judge_version = evaluations.judge_version AND model_judges.role <> 'evaluation'
WHERE evaluations.role = 'decides';
COMMENT ON VIEW check_judges_of_both IS
    'error: A judge decided on a policy that it helped to train, directly or through the models '
    'behind it. Name another judge under evaluation.judges and evaluate again.';

CREATE OR REPLACE VIEW check_models_without_inputs AS
SELECT models.kind AS what, models.id, 'config ' || config_hash AS detail
FROM models
ANTI JOIN (SELECT model_id FROM model_inputs WHERE role = 'learnt') AS traced
    ON traced.model_id = models.id
ANTI JOIN (SELECT unnest(model_ids) AS model_id FROM deletions) AS forgotten
    ON forgotten.model_id = models.id
WHERE models.kind IN ('sft', 'reward', 'policy');
COMMENT ON VIEW check_models_without_inputs IS
    'error: A trained model does not say what it learnt from, so it cannot be traced. Train it '
    'again. Models whose inputs `solon forget` deleted are named in deletions instead.';

CREATE OR REPLACE VIEW check_promotions AS
SELECT 'no evaluation' AS what, promotions.id, 'evaluation ' || evaluation_id AS detail
FROM promotions ANTI JOIN evaluations ON evaluations.id = promotions.evaluation_id
UNION ALL
SELECT 'evaluation of other models', promotions.id, evaluations.policy_id
FROM promotions JOIN evaluations ON evaluations.id = promotions.evaluation_id
WHERE (evaluations.policy_id, evaluations.baseline_id)
    <> (promotions.policy_id, promotions.baseline_id)
UNION ALL
SELECT 'not by a deciding judge', promotions.id, evaluations.role
FROM promotions JOIN evaluations ON evaluations.id = promotions.evaluation_id
WHERE evaluations.role <> 'decides';
COMMENT ON VIEW check_promotions IS
    'error: A policy was promoted or refused without an evaluation of it by a judge that decides. '
    'Evaluate and decide again.';

CREATE OR REPLACE VIEW check_token_lengths AS
SELECT 'token_ids and logprobs' AS what, id, len(token_ids) || ' and ' || len(logprobs) AS detail
FROM candidates WHERE len(token_ids) <> len(logprobs);
COMMENT ON VIEW check_token_lengths IS
    'error: A candidate does not have one log-probability a token, so its ratios and KL are '
    'wrong. Sample it again.';

CREATE OR REPLACE VIEW check_constant_judges AS
SELECT 'constant' AS what, judge_version AS id, opinions || ' opinions, all the same' AS detail
FROM judge_health WHERE opinions >= 20 AND is_constant;
COMMENT ON VIEW check_constant_judges IS
    'warning: A judge says the same of everything and teaches nothing. Read some of its answers '
    'in judgement_responses; replace it, or give it weight 0.';

CREATE OR REPLACE VIEW check_unparsed_judges AS
SELECT 'unparsed' AS what, judge_version AS id,
       round(100 * unparsed_share) || ' % of ' || judgements AS detail
FROM judge_health WHERE judgements >= 20 AND unparsed_share > 0.2;
COMMENT ON VIEW check_unparsed_judges IS
    'warning: More than a fifth of a judge''s answers could not be parsed. Read some of them in '
    'judgement_responses; `solon judges reparse` parses them again for free once the parser is '
    'fixed.';

CREATE OR REPLACE VIEW check_position_bias AS
SELECT 'position' AS what, judge_version AS id,
       'chose the first in ' || round(100 * chose_first) || ' %' AS detail
FROM judge_health WHERE opinions >= 50 AND abs(chose_first - 0.5) > 0.15;
COMMENT ON VIEW check_position_bias IS
    'warning: A judge prefers a position: it chose the answer shown first in less than 35 or more '
    'than 65 of 100. Judging in both orders cancels that out and leaves noise; replace the judge, '
    'or lower its weight.';

CREATE OR REPLACE VIEW check_length_bias AS
SELECT 'length' AS what, mode AS id,
       'longer chosen in ' || round(100 * longer_chosen) || ' % of ' || pairs AS detail
FROM length_bias WHERE pairs >= 50 AND abs(longer_chosen - 0.5) > 0.25;
COMMENT ON VIEW check_length_bias IS
    'warning: In a mode of prompts the longer (or the shorter) answer was chosen in more than '
    'three quarters of the pairs, which a policy learns first. Compare with the judge `brevity`; '
    'see length_bias_by_week.';

CREATE OR REPLACE VIEW check_empty_candidates AS
SELECT 'near-empty' AS what, id, '"' || text || '", ' || finish_reason AS detail
FROM candidates WHERE NOT regexp_matches(text, '[\pL\pN]');
COMMENT ON VIEW check_empty_candidates IS
    'warning: An answer has no letter and no digit. Some are honest; many mean a wrong chat '
    'template or stop token: look at the model that gave them.';

CREATE OR REPLACE VIEW check_negative_amounts AS
SELECT 'candidates' AS what, id, 'usd ' || cost_usd || ', seconds ' || latency_seconds AS detail
FROM candidates
WHERE least(cost_usd, latency_seconds, prompt_tokens, completion_tokens) < 0
UNION ALL
SELECT 'judgements', id, 'usd ' || cost_usd || ', seconds ' || latency_seconds FROM judgements
WHERE least(cost_usd, latency_seconds, prompt_tokens, completion_tokens) < 0
UNION ALL
SELECT 'responses', id, 'usd ' || cost_usd || ', seconds ' || latency_seconds FROM responses
WHERE least(cost_usd, latency_seconds, prompt_tokens, completion_tokens) < 0
UNION ALL
SELECT 'revisions', id, 'usd ' || cost_usd FROM revisions WHERE cost_usd < 0
UNION ALL
SELECT 'stage_runs', id, 'seconds ' || seconds FROM stage_runs WHERE seconds < 0;
COMMENT ON VIEW check_negative_amounts IS
    'error: A cost, a time or a count of tokens is negative, so sums are wrong. Find out which '
    'code version wrote it.';

CREATE OR REPLACE VIEW check_future_rows AS
SELECT table_name AS what, run_id AS id, last_at::VARCHAR AS detail
FROM run_rows WHERE last_at > now() + INTERVAL 1 HOUR;
COMMENT ON VIEW check_future_rows IS
    'error: A run''s rows are from the future, so "newest" means nothing. Set the clock of the '
    'machine that ran it.';

CREATE OR REPLACE VIEW check_stages_without_rows AS
WITH wanted AS (
    SELECT 'ingest' AS stage, 'prompts' AS source, (SELECT count(*) FROM prompts) AS n
    UNION ALL SELECT 'train_sft', 'models', (SELECT count(*) FROM models WHERE kind = 'sft')
    UNION ALL SELECT 'sample', 'candidates', (SELECT count(*) FROM candidates)
    UNION ALL SELECT 'judge', 'judgements', (SELECT count(*) FROM judgements)
    UNION ALL SELECT 'pair', 'rankings', (SELECT count(*) FROM rankings)
    UNION ALL SELECT 'train_reward', 'models', (SELECT count(*) FROM models WHERE kind = 'reward')
    UNION ALL SELECT 'train_policy', 'models', (SELECT count(*) FROM models WHERE kind = 'policy')
    UNION ALL SELECT 'evaluate', 'evaluations', (SELECT count(*) FROM evaluations)
), forgotten AS (
    SELECT DISTINCT unnest(json_keys(try_cast(deleted_rows AS JSON))) AS source FROM deletions
)
SELECT stage_runs.stage AS what, stage_runs.id, 'run ' || stage_runs.run_id AS detail
FROM stage_runs JOIN wanted ON wanted.stage = stage_runs.stage
ANTI JOIN forgotten ON forgotten.source = wanted.source
WHERE n = 0
UNION ALL
SELECT stage_runs.stage, stage_runs.id, 'run ' || stage_runs.run_id
FROM stage_runs
ANTI JOIN promotions ON promotions.line = stage_runs.line
    AND promotions.cycle = stage_runs.cycle
WHERE stage_runs.stage = 'promote';
COMMENT ON VIEW check_stages_without_rows IS
    'error: A stage completed, but the rows that it should have added are missing, though `solon '
    'forget` deleted none of them. Restore a backup, or run the config again in a new store.';

CREATE OR REPLACE VIEW check_unavailable_judges AS
SELECT 'unavailable' AS what, judge_version AS id,
       sum(still_missing) || ' verdicts missing: ' || max(commonest_reason) AS detail
FROM judge_outages GROUP BY judge_version
HAVING sum(still_missing) >= 20 AND sum(still_missing) > 0.05 * sum(judgements);
COMMENT ON VIEW check_unavailable_judges IS
    'warning: A judge could not be reached for more than a twentieth of its verdicts, which are '
    'still missing. Fix the reason that judge_outages gives, and run again: only they are '
    'requested.';

CREATE OR REPLACE VIEW check_guard_alarms AS
SELECT detector AS what, guard_alarms.model_id AS id, reason AS detail
FROM guard_alarms
WHERE model_id IN (SELECT policy_id FROM promotions WHERE promoted);
COMMENT ON VIEW check_guard_alarms IS
    'warning: A policy was promoted although the guard raised an alarm about it (guard.action: '
    'report). Read the answers that the alarm names as evidence in rollouts and candidates; '
    'solon rollback returns to an earlier champion.';

CREATE OR REPLACE VIEW check_guard_judges AS
SELECT 'guard.repair_judges' AS what, policy_id AS id,
       'line ' || line || ', cycle ' || cycle || ': of the answers that raised alarms, '
       || count(*) FILTER (outcome = 'better') || ' are better than a baseline answer and '
       || count(*) FILTER (outcome = 'worse') || ' worse' AS detail
FROM guard_comparisons
WHERE cycle = (
    SELECT max(cycle) FROM guard_comparisons AS later
    WHERE later.line = guard_comparisons.line AND later.policy_id = guard_comparisons.policy_id
)
GROUP BY line, cycle, policy_id
HAVING count(*) FILTER (outcome = 'worse') <= count(*) FILTER (outcome = 'better');
COMMENT ON VIEW check_guard_judges IS
    'warning: The judges of the repair prefer the answers that raised alarms too, or see no '
    'difference, so no reward model learnt against them. Read the answers in candidates. If they '
    'are bad, name other guard.repair_judges; the next cycle asks them.';

CREATE OR REPLACE VIEW check_guard_tests AS
SELECT line AS what, model_id AS id,
       'cycle ' || cycle || ': it scores the better answer higher in '
       || round(100 * preferred)::INTEGER || ' % of ' || pairs || ' comparisons with answers of '
       || policy_id AS detail
FROM (
    SELECT * FROM guard_tests
    QUALIFY row_number() OVER (PARTITION BY line, policy_id ORDER BY created_at DESC) = 1
) AS latest
WHERE NOT passed;
COMMENT ON VIEW check_guard_tests IS
    'warning: The last reward model still prefers answers of a hack that was found before, so it '
    'trains no policy. Raise guard.repair_rounds; solon retract takes back comparisons that are '
    'wrong.';

CREATE OR REPLACE VIEW check_judge_drift AS
SELECT judge AS what, id, 'line ' || line || ', cycle ' || cycle || ': ' || reason AS detail
FROM (
    SELECT * FROM judge_drifts
    QUALIFY row_number() OVER (PARTITION BY line, judge_version ORDER BY cycle DESC) = 1
) AS latest
ANTI JOIN (SELECT subject_id FROM retracted WHERE subject_table = 'judge_versions') AS former
    ON former.subject_id = latest.judge_version
WHERE drifted;
COMMENT ON VIEW check_judge_drift IS
    'warning: A judge no longer gives the verdicts that it gave at first, as if the provider had '
    'changed the model behind its name. Its old and new verdicts are not comparable: name a fixed '
    'version of the model in the config, and retract the judge version that drifted.';
