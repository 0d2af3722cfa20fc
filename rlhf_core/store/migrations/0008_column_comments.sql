-- What every column means, in which unit, and when it is null. Columns of views that are not here mean
-- what the column of that name means in the table it comes from.

COMMENT ON TABLE migrations IS 'Which of the schema''s numbered files were applied to this store.';
COMMENT ON COLUMN migrations.number IS 'The file''s number.';
COMMENT ON COLUMN migrations.name IS 'The file''s name.';
COMMENT ON COLUMN migrations.hash IS 'Hash of the file as it was applied; an edited one is refused.';
COMMENT ON COLUMN migrations.applied_at IS 'When it was applied.';

COMMENT ON COLUMN configs.id IS 'Hash of config_hash.';
COMMENT ON COLUMN configs.config_hash IS 'The config by what it says: the hash that pairs, models, promotions and stage_runs carry.';
COMMENT ON COLUMN configs.config IS 'The whole config as JSON, defaults included.';
COMMENT ON COLUMN configs.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN configs.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN configs.code_version IS 'Solon''s release and the hash of its sources when the row was written.';

COMMENT ON COLUMN prompts.id IS 'Hash of text, context, mode and reference_answers: the same prompt is one row.';
COMMENT ON COLUMN prompts.text IS 'What is asked, word for word.';
COMMENT ON COLUMN prompts.context IS 'A text the answer has to keep to, which the model reads before the prompt; null where none was given.';
COMMENT ON COLUMN prompts.mode IS 'text_grounded, knowledge_seeking or creative: what kind of answer is wanted, and so which judges suit it.';
COMMENT ON COLUMN prompts.reference_answers IS 'Answers a person gave; empty where there are none.';
COMMENT ON COLUMN prompts.split IS 'train or holdout, drawn from the prompt''s own words when it was first read; held-out prompts are only evaluated on.';
COMMENT ON COLUMN prompts.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN prompts.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN prompts.code_version IS 'Solon''s release and the hash of its sources when the row was written.';

COMMENT ON COLUMN prompt_sets.id IS 'Hash of source and prompt_ids.';
COMMENT ON COLUMN prompt_sets.source IS 'Where the prompts came from, as the config names it.';
COMMENT ON COLUMN prompt_sets.prompt_ids IS 'The prompts it held: prompts.id.';
COMMENT ON COLUMN prompt_sets.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN prompt_sets.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN prompt_sets.code_version IS 'Solon''s release and the hash of its sources when the row was written.';

COMMENT ON COLUMN candidates.id IS 'Hash of prompt_id, model_id, sampling, seed and sample_index.';
COMMENT ON COLUMN candidates.prompt_id IS 'prompts.id of what is answered.';
COMMENT ON COLUMN candidates.model_id IS 'models.id of the model that answered.';
COMMENT ON COLUMN candidates.sampling IS 'Hash of all that shapes sampling beside model and seed; batches of different sampling are kept apart.';
COMMENT ON COLUMN candidates.temperature IS 'Sampling temperature; 0 takes the likeliest token.';
COMMENT ON COLUMN candidates.max_new_tokens IS 'Tokens at which an answer was cut off.';
COMMENT ON COLUMN candidates.seed IS 'Seed of the batch.';
COMMENT ON COLUMN candidates.sample_index IS '0, 1, 2 …: which of a prompt''s answers in its batch.';
COMMENT ON COLUMN candidates.text IS 'The answer, word for word.';
COMMENT ON COLUMN candidates.token_ids IS 'Its tokens in the model''s vocabulary; null where a remote model gave none.';
COMMENT ON COLUMN candidates.logprobs IS 'Log-probability of each token when it was drawn, in nats, at that temperature; null where a remote model gave none.';
COMMENT ON COLUMN candidates.finish_reason IS 'eos: the model ended the answer; length: it was cut off; others as a remote server names them.';
COMMENT ON COLUMN candidates.prompt_tokens IS 'Tokens the model read.';
COMMENT ON COLUMN candidates.completion_tokens IS 'Tokens it wrote.';
COMMENT ON COLUMN candidates.latency_seconds IS 'Seconds the model took; of a batch drawn together, the answer''s share.';
COMMENT ON COLUMN candidates.cost_usd IS 'What a remote model charged, in US dollars; 0 for a local one.';
COMMENT ON COLUMN candidates.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN candidates.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN candidates.code_version IS 'Solon''s release and the hash of its sources when the row was written.';

COMMENT ON COLUMN judgements.id IS 'Hash of judge_version, candidate_id, opponent_id and attempt.';
COMMENT ON COLUMN judgements.prompt_id IS 'prompts.id of what both answers are about.';
COMMENT ON COLUMN judgements.judge IS 'The judge''s name in the config; proxy for the cycle''s own reward model.';
COMMENT ON COLUMN judgements.judge_version IS 'The judge with its model, prompts and options, as kind and hash; for proxy the reward model''s models.id.';
COMMENT ON COLUMN judgements.candidate_id IS 'candidates.id of the answer judged, or of the one shown first of two.';
COMMENT ON COLUMN judgements.opponent_id IS 'candidates.id of the answer shown second; null where one was judged alone.';
COMMENT ON COLUMN judgements.presented IS 'alone, forward (two in the order of their sample_index) or reversed.';
COMMENT ON COLUMN judgements.outcome IS 'scored, first, second or tie are opinions; abstains, unparsed and unavailable are none.';
COMMENT ON COLUMN judgements.score IS '0 to 1, of an answer judged alone; in the reward model''s own unit for proxy; null without an opinion, and of two answers compared.';
COMMENT ON COLUMN judgements.probability IS 'That the answer shown first is the better one, 0 to 1; null without an opinion, and of one judged alone.';
COMMENT ON COLUMN judgements.raw_output IS 'What the verdict was made of, for people, often JSON; null where there is nothing to show. What a model said word for word is in responses.';
COMMENT ON COLUMN judgements.reason IS 'Why there is no opinion; null where there is one.';
COMMENT ON COLUMN judgements.latency_seconds IS 'Seconds its model took for the responses it rests on; 0 for judges that ask none.';
COMMENT ON COLUMN judgements.prompt_tokens IS 'Tokens its model read for them.';
COMMENT ON COLUMN judgements.completion_tokens IS 'Tokens its model wrote.';
COMMENT ON COLUMN judgements.cost_usd IS 'What its remote model charged for them, in US dollars; responses that two judgements rest on are counted in both.';
COMMENT ON COLUMN judgements.attempt IS 'Empty but for unavailable: the run that asked in vain, so that a later one asks again.';
COMMENT ON COLUMN judgements.response_ids IS 'responses.id of what it was read from; empty for judges that ask no model, and before Solon kept responses.';
COMMENT ON COLUMN judgements.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN judgements.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN judgements.code_version IS 'Solon''s release and the hash of its sources when the row was written.';

COMMENT ON COLUMN rankings.id IS 'Hash of recipe, candidate_ids and judgement_ids.';
COMMENT ON COLUMN rankings.prompt_id IS 'prompts.id of what is answered.';
COMMENT ON COLUMN rankings.model_id IS 'models.id of the model that gave the answers.';
COMMENT ON COLUMN rankings.seed IS 'Seed of the batch they are from.';
COMMENT ON COLUMN rankings.recipe IS 'Hash of how judges were combined: their versions, weights and the margin of ties.';
COMMENT ON COLUMN rankings.candidate_ids IS 'candidates.id, best first.';
COMMENT ON COLUMN rankings.utilities IS 'How much better each is than the others, all judges together: mean margin, -1 to 1 around 0, in the order of candidate_ids.';
COMMENT ON COLUMN rankings.judgement_ids IS 'judgements.id of all that it rests on.';
COMMENT ON COLUMN rankings.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN rankings.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN rankings.code_version IS 'Solon''s release and the hash of its sources when the row was written.';

COMMENT ON COLUMN pairs.id IS 'Hash of ranking_id, left_id and right_id.';
COMMENT ON COLUMN pairs.prompt_id IS 'prompts.id of what both answer.';
COMMENT ON COLUMN pairs.ranking_id IS 'rankings.id it was taken from.';
COMMENT ON COLUMN pairs.left_id IS 'candidates.id of the one with the lower sample_index.';
COMMENT ON COLUMN pairs.right_id IS 'candidates.id of the other.';
COMMENT ON COLUMN pairs.outcome IS 'preferred, tie (their utilities are within the margin of ties) or unscored (no judge could compare the two).';
COMMENT ON COLUMN pairs.chosen_id IS 'candidates.id of the better one; null unless preferred.';
COMMENT ON COLUMN pairs.rejected_id IS 'candidates.id of the worse one; null unless preferred.';
COMMENT ON COLUMN pairs.margin IS 'Difference of their utilities, 0 or more; null where unscored.';
COMMENT ON COLUMN pairs.agreement IS 'Weighted share of the judges with an opinion that side with the chosen one, 0 to 1; null unless preferred.';
COMMENT ON COLUMN pairs.judgement_ids IS 'judgements.id of those about the two.';
COMMENT ON COLUMN pairs.judge_versions IS 'judgements.judge_version of those judges.';
COMMENT ON COLUMN pairs.config_hash IS 'configs.config_hash of the run that made it first.';
COMMENT ON COLUMN pairs.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN pairs.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN pairs.code_version IS 'Solon''s release and the hash of its sources when the row was written.';

COMMENT ON COLUMN models.id IS 'Its kind, and the hash of kind, base, parent_id, recipe, data_hash and seed: the same training is one row.';
COMMENT ON COLUMN models.kind IS 'base, endpoint (a remote one), sft, reward or policy.';
COMMENT ON COLUMN models.base IS 'Name or folder of the model it all began with.';
COMMENT ON COLUMN models.parent_id IS 'models.id of the model it was trained from; null for a base or endpoint.';
COMMENT ON COLUMN models.recipe IS 'JSON of every setting that shapes it.';
COMMENT ON COLUMN models.data_hash IS 'Hash of the ids it was trained on; empty where the recipe says it all.';
COMMENT ON COLUMN models.seed IS 'Seed of its training.';
COMMENT ON COLUMN models.config_hash IS 'configs.config_hash of the run that made it first.';
COMMENT ON COLUMN models.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN models.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN models.code_version IS 'Solon''s release and the hash of its sources when the row was written.';

COMMENT ON COLUMN model_inputs.id IS 'Hash of model_id and input_id.';
COMMENT ON COLUMN model_inputs.model_id IS 'models.id of the model that learnt.';
COMMENT ON COLUMN model_inputs.input_table IS 'Which table input_id is from: prompts, rankings, models …';
COMMENT ON COLUMN model_inputs.input_id IS 'The id of the row it learnt from, or of the model whose scores it learnt from.';
COMMENT ON COLUMN model_inputs.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN model_inputs.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN model_inputs.code_version IS 'Solon''s release and the hash of its sources when the row was written.';

COMMENT ON COLUMN rollouts.id IS 'Hash of model_id, step and row.';
COMMENT ON COLUMN rollouts.model_id IS 'models.id of the policy in training.';
COMMENT ON COLUMN rollouts.step IS 'Training step, from 1.';
COMMENT ON COLUMN rollouts.row IS 'Which answer of the step, from 0.';
COMMENT ON COLUMN rollouts.prompt_id IS 'prompts.id of what is answered.';
COMMENT ON COLUMN rollouts.text IS 'The answer, word for word.';
COMMENT ON COLUMN rollouts.score IS 'Its reward before the KL penalty, in the unit of the reward.';
COMMENT ON COLUMN rollouts.kl IS 'How far the policy went from the reference over this answer, in nats, summed over its tokens.';
COMMENT ON COLUMN rollouts.completion_tokens IS 'Tokens of the answer.';
COMMENT ON COLUMN rollouts.finish_reason IS 'eos: the policy ended it; length: it was cut off.';
COMMENT ON COLUMN rollouts.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN rollouts.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN rollouts.code_version IS 'Solon''s release and the hash of its sources when the row was written.';

COMMENT ON COLUMN metrics.id IS 'Hash of model_id, step and name.';
COMMENT ON COLUMN metrics.model_id IS 'models.id of the model in training.';
COMMENT ON COLUMN metrics.step IS 'Training step, from 1.';
COMMENT ON COLUMN metrics.name IS 'Which figure; deploy/docs/metrics.md defines each.';
COMMENT ON COLUMN metrics.value IS 'The figure, in the unit given there.';
COMMENT ON COLUMN metrics.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN metrics.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN metrics.code_version IS 'Solon''s release and the hash of its sources when the row was written.';

COMMENT ON COLUMN evaluations.id IS 'Hash of policy_id, baseline_id, judge, judge_version and settings.';
COMMENT ON COLUMN evaluations.policy_id IS 'models.id of the policy.';
COMMENT ON COLUMN evaluations.baseline_id IS 'models.id it is compared with: the SFT model, or the policy promoted before.';
COMMENT ON COLUMN evaluations.judge IS 'The judge''s name in the config; proxy for the reward model.';
COMMENT ON COLUMN evaluations.judge_version IS 'judgements.judge_version of that judge.';
COMMENT ON COLUMN evaluations.role IS 'decides, reports, trained_on (it also judged the training data) or proxy (the reward model).';
COMMENT ON COLUMN evaluations.settings IS 'Hash of how answers were drawn and compared, and on which prompts.';
COMMENT ON COLUMN evaluations.prompts IS 'Prompts with at least one comparison that counts.';
COMMENT ON COLUMN evaluations.comparisons IS 'Pairs of answers that were to be compared, unscored ones included.';
COMMENT ON COLUMN evaluations.unscored IS 'Those of them that the judge had no opinion of.';
COMMENT ON COLUMN evaluations.win_rate IS 'Share of comparisons the policy won, ties one half, prompts weighing the same; null where nothing was scored.';
COMMENT ON COLUMN evaluations.win_rate_low IS 'Lower end of its bootstrap interval over prompts, at promotion.confidence; null with win_rate.';
COMMENT ON COLUMN evaluations.win_rate_high IS 'Upper end of that interval; null with win_rate.';
COMMENT ON COLUMN evaluations.policy_score IS 'Mean score of the policy''s answers, in the judge''s unit; null for judges that compare.';
COMMENT ON COLUMN evaluations.baseline_score IS 'Mean score of the baseline''s answers; null for judges that compare.';
COMMENT ON COLUMN evaluations.policy_tokens IS 'Mean length of the policy''s answers, in tokens.';
COMMENT ON COLUMN evaluations.baseline_tokens IS 'Mean length of the baseline''s answers, in tokens.';
COMMENT ON COLUMN evaluations.policy_eos_rate IS 'Share of the policy''s answers that it ended itself, 0 to 1.';
COMMENT ON COLUMN evaluations.kl IS 'Mean over its answers of how far the policy is from the SFT model, in nats an answer.';
COMMENT ON COLUMN evaluations.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN evaluations.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN evaluations.code_version IS 'Solon''s release and the hash of its sources when the row was written.';

COMMENT ON COLUMN promotions.id IS 'Hash of config_hash and cycle.';
COMMENT ON COLUMN promotions.config_hash IS 'configs.config_hash of the run.';
COMMENT ON COLUMN promotions.cycle IS 'Number of the cycle, from 1.';
COMMENT ON COLUMN promotions.policy_id IS 'models.id of the policy decided on.';
COMMENT ON COLUMN promotions.baseline_id IS 'models.id it was compared with.';
COMMENT ON COLUMN promotions.evaluation_id IS 'evaluations.id of the evaluation that decided.';
COMMENT ON COLUMN promotions.promoted IS 'Whether it took over.';
COMMENT ON COLUMN promotions.reasons IS 'Every reason for the decision, in words.';
COMMENT ON COLUMN promotions.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN promotions.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN promotions.code_version IS 'Solon''s release and the hash of its sources when the row was written.';

COMMENT ON COLUMN stage_runs.id IS 'Hash of config_hash, cycle and stage.';
COMMENT ON COLUMN stage_runs.config_hash IS 'configs.config_hash of the run.';
COMMENT ON COLUMN stage_runs.cycle IS 'Number of the cycle, from 1.';
COMMENT ON COLUMN stage_runs.stage IS 'Name of the stage, as in the README''s table.';
COMMENT ON COLUMN stage_runs.seconds IS 'How long it took when it first ended.';
COMMENT ON COLUMN stage_runs.detail IS 'JSON object of counts, names and reasons that it ended with.';
COMMENT ON COLUMN stage_runs.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN stage_runs.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN stage_runs.code_version IS 'Solon''s release and the hash of its sources when the row was written.';

COMMENT ON COLUMN failures.id IS 'Hash of stage, subject_id and attempt.';
COMMENT ON COLUMN failures.stage IS 'Where it failed: sample or revise.';
COMMENT ON COLUMN failures.subject_id IS 'The id of what could not be worked on: prompts.id.';
COMMENT ON COLUMN failures.reason IS 'What went wrong, in words.';
COMMENT ON COLUMN failures.attempt IS 'The run that failed at it: stage_runs of a later one may have it done.';
COMMENT ON COLUMN failures.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN failures.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN failures.code_version IS 'Solon''s release and the hash of its sources when the row was written.';

COMMENT ON COLUMN responses.id IS 'Hash of request_hash.';
COMMENT ON COLUMN responses.request_hash IS 'Hash of model, settings and question: each question is asked once.';
COMMENT ON COLUMN responses.model IS 'The model that was asked, by its name in the config.';
COMMENT ON COLUMN responses.text IS 'What it said, word for word; empty where only probabilities were read.';
COMMENT ON COLUMN responses.probabilities IS 'JSON object, of the labels or of the first token''s alternatives, 0 to 1; null where none were read.';
COMMENT ON COLUMN responses.finish_reason IS 'eos: the model ended it; length: it was cut off; others as a remote server names them.';
COMMENT ON COLUMN responses.prompt_tokens IS 'Tokens it read.';
COMMENT ON COLUMN responses.completion_tokens IS 'Tokens it wrote.';
COMMENT ON COLUMN responses.latency_seconds IS 'Seconds the model took; of a batch computed together, the answer''s share.';
COMMENT ON COLUMN responses.cost_usd IS 'What a remote model charged, in US dollars.';
COMMENT ON COLUMN responses.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN responses.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN responses.code_version IS 'Solon''s release and the hash of its sources when the row was written.';

COMMENT ON COLUMN judge_benchmarks.id IS 'Hash of benchmark, judge, items_hash, data, metric and facet.';
COMMENT ON COLUMN judge_benchmarks.benchmark IS 'One hearing of a panel of judges: rows of one hearing share it.';
COMMENT ON COLUMN judge_benchmarks.judge IS 'The judge''s name in the config; longer wins for what length alone explains; all judges for figures of them together.';
COMMENT ON COLUMN judge_benchmarks.judge_version IS 'judgements.judge_version of that judge; empty for longer wins and all judges.';
COMMENT ON COLUMN judge_benchmarks.data IS 'The file of labelled answers.';
COMMENT ON COLUMN judge_benchmarks.items_hash IS 'Hash of the labelled answers themselves.';
COMMENT ON COLUMN judge_benchmarks.metric IS 'Which figure; deploy/docs/metrics.md defines each.';
COMMENT ON COLUMN judge_benchmarks.facet IS 'The part the figure is about: a subset, another judge, an attack; empty for the whole.';
COMMENT ON COLUMN judge_benchmarks.n IS 'How many cases it rests on.';
COMMENT ON COLUMN judge_benchmarks.value IS 'The figure, in the unit given there.';
COMMENT ON COLUMN judge_benchmarks.low IS 'Lower end of its 95 % interval; null where it has none.';
COMMENT ON COLUMN judge_benchmarks.high IS 'Upper end of its 95 % interval; null where it has none.';
COMMENT ON COLUMN judge_benchmarks.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN judge_benchmarks.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN judge_benchmarks.code_version IS 'Solon''s release and the hash of its sources when the row was written.';

COMMENT ON COLUMN revisions.id IS 'Hash of prompt_id, reviser and round.';
COMMENT ON COLUMN revisions.prompt_id IS 'prompts.id of what is answered.';
COMMENT ON COLUMN revisions.reviser IS 'Hash of model, constitution and prompts that revise.';
COMMENT ON COLUMN revisions.model IS 'The model that wrote and mended, by its name in the config.';
COMMENT ON COLUMN revisions.round IS '0 for the first answer, then 1, 2 …';
COMMENT ON COLUMN revisions.parent_id IS 'revisions.id of the answer it mends; null in round 0.';
COMMENT ON COLUMN revisions.principle IS 'The principle it was mended by; null in round 0.';
COMMENT ON COLUMN revisions.critique IS 'What the model found wrong with the parent; null in round 0.';
COMMENT ON COLUMN revisions.text IS 'The answer of this round, word for word.';
COMMENT ON COLUMN revisions.response_ids IS 'responses.id of what the model said on the way.';
COMMENT ON COLUMN revisions.cost_usd IS 'What a remote model charged for this round, in US dollars.';
COMMENT ON COLUMN revisions.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN revisions.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN revisions.code_version IS 'Solon''s release and the hash of its sources when the row was written.';

COMMENT ON COLUMN pair_texts.chosen IS 'Text of the better answer; null for ties and the unscored.';
COMMENT ON COLUMN pair_texts.rejected IS 'Text of the worse answer; null for ties and the unscored.';

COMMENT ON COLUMN judge_summary.judgements IS 'How many it gave, opinions or not.';
COMMENT ON COLUMN judge_summary.unscored IS 'How many of them could not be read or were not to be had.';
COMMENT ON COLUMN judge_summary.mean_score IS 'Of the answers it judged alone; null for judges that compare.';
COMMENT ON COLUMN judge_summary.score_deviation IS 'Standard deviation of those scores; near 0 says that it tells nothing apart.';
COMMENT ON COLUMN judge_summary.tie_rate IS 'Share of its judgements that are ties, 0 to 1.';

COMMENT ON COLUMN judge_votes.margin IS '-1 to 1: above 0 where the judge prefers the left answer, 0 where it cannot tell.';

COMMENT ON COLUMN judge_agreement.judge IS 'judge_version of the one.';
COMMENT ON COLUMN judge_agreement.other_judge IS 'judge_version of the other.';
COMMENT ON COLUMN judge_agreement.pairs IS 'Pairs on which both prefer one.';
COMMENT ON COLUMN judge_agreement.agreement IS 'Share of those on which they prefer the same, 0 to 1; one half is chance.';

COMMENT ON COLUMN position_bias.comparisons IS 'Opinions of two answers.';
COMMENT ON COLUMN position_bias.chose_first IS 'Share in which it chose what was shown first, 0 to 1.';
COMMENT ON COLUMN position_bias.chose_second IS 'Share in which it chose what was shown second; what is missing to 1 are ties.';

COMMENT ON COLUMN length_bias.pairs IS 'Pairs with a preference whose answers differ in length.';
COMMENT ON COLUMN length_bias.longer_chosen IS 'Share of them in which the longer one was chosen, 0 to 1.';

COMMENT ON COLUMN model_lineage.ancestor_id IS 'A model it came from; itself where generations is 0.';
COMMENT ON COLUMN model_lineage.generations IS 'Trainings between the two.';
COMMENT ON COLUMN model_lineage.code_version IS 'Solon that made the ancestor.';

COMMENT ON COLUMN check_duplicate_ids.table_name IS 'Where the fact is.';
COMMENT ON COLUMN check_duplicate_ids.copies IS 'How often.';

COMMENT ON COLUMN check_orphans.table_name IS 'Where the fact is that refers to nothing.';
COMMENT ON COLUMN check_orphans.id IS 'Its id.';

COMMENT ON COLUMN judgement_responses.text IS 'What the judge''s model said, word for word.';
COMMENT ON COLUMN judgement_responses.cost_usd IS 'What that answer cost when it was asked for, in US dollars.';
COMMENT ON COLUMN judgement_responses.asked_at IS 'When the model said it.';
COMMENT ON COLUMN judgement_responses.read_at IS 'When the verdict was read from it.';

COMMENT ON COLUMN judge_reliability.data IS 'The file of labelled answers.';
COMMENT ON COLUMN judge_reliability.asked IS 'Cases it was asked about.';
COMMENT ON COLUMN judge_reliability.scored IS 'Cases it had an opinion of.';
COMMENT ON COLUMN judge_reliability.accuracy IS 'Share of pairs with a label on which it sides with the label; null for sets of single texts.';
COMMENT ON COLUMN judge_reliability.accuracy_low IS 'Lower end of the interval of accuracy.';
COMMENT ON COLUMN judge_reliability.accuracy_high IS 'Upper end of that interval.';
COMMENT ON COLUMN judge_reliability.longer_accuracy IS 'What choosing the longer answer gets on the same pairs.';
COMMENT ON COLUMN judge_reliability.accuracy_common IS 'Accuracy on the cases every judge scored: what judges may be compared by.';
COMMENT ON COLUMN judge_reliability.measured_at IS 'When it was measured last.';

COMMENT ON COLUMN abstention_rates.answerable IS 'Answers to questions that have one.';
COMMENT ON COLUMN abstention_rates.over_abstention_rate IS 'Share of those that decline, 0 to 1.';
COMMENT ON COLUMN abstention_rates.right_when_answering IS 'Share of those that do not decline and are right, 0 to 1.';
COMMENT ON COLUMN abstention_rates.unanswerable IS 'Answers to questions that have none.';
COMMENT ON COLUMN abstention_rates.abstention_rate_where_right IS 'Share of those that decline, as they should, 0 to 1.';

COMMENT ON COLUMN revision_texts.before IS 'The answer that is mended.';
COMMENT ON COLUMN revision_texts.after IS 'The answer it was mended to.';
