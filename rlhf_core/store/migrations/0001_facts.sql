-- Facts are appended and never changed. Ids are content hashes, made unique by an anti-join under
-- the store's lock: a primary key would cost four times the memory on append, and a foreign key
-- would forbid the list columns. The check_ views report what those would have refused.

CREATE TABLE configs (
    id VARCHAR NOT NULL, config_hash VARCHAR NOT NULL, config VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL,
    deciding VARCHAR DEFAULT '{}'
);
COMMENT ON TABLE configs IS 'Every config that ran, as JSON, by the hash other rows carry.';
COMMENT ON COLUMN configs.id IS 'Hash of config_hash.';
COMMENT ON COLUMN configs.config_hash IS
    'Hash of the settings that change results: what pairs, models, promotions and stage_runs '
    'carry.';
COMMENT ON COLUMN configs.config IS 'The whole config as JSON, defaults included.';
COMMENT ON COLUMN configs.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN configs.run_id IS
    'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN configs.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';
COMMENT ON COLUMN configs.deciding IS
    'JSON object of those settings, with the defaults of judges; not addresses, time limits, '
    'prices.';

CREATE TABLE prompts (
    id VARCHAR NOT NULL, text VARCHAR NOT NULL, context VARCHAR, mode VARCHAR NOT NULL,
    reference_answers VARCHAR[] NOT NULL, split VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE prompts IS 'What is asked, with reference answers; split is train or holdout.';
COMMENT ON COLUMN prompts.id IS
    'Hash of text, context, mode and reference_answers: the same prompt is one row.';
COMMENT ON COLUMN prompts.text IS 'What is asked, word for word.';
COMMENT ON COLUMN prompts.context IS
    'A text the answer has to keep to, which the model reads before the prompt; null where none '
    'was given.';
COMMENT ON COLUMN prompts.mode IS
    'text_grounded, knowledge_seeking or creative: what kind of answer is wanted, and so which '
    'judges suit it.';
COMMENT ON COLUMN prompts.reference_answers IS 'Answers a person gave; empty where there are none.';
COMMENT ON COLUMN prompts.split IS
    'train or holdout, drawn from the prompt''s own words when it was first read; held-out '
    'prompts are only evaluated on.';
COMMENT ON COLUMN prompts.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN prompts.run_id IS
    'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN prompts.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE prompt_sets (
    id VARCHAR NOT NULL, source VARCHAR NOT NULL, prompt_ids VARCHAR[] NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE prompt_sets IS 'The prompts a source held at one time: a version of the data.';
COMMENT ON COLUMN prompt_sets.id IS 'Hash of source and prompt_ids.';
COMMENT ON COLUMN prompt_sets.source IS 'Where the prompts came from, as the config names it.';
COMMENT ON COLUMN prompt_sets.prompt_ids IS 'The prompts it held: prompts.id.';
COMMENT ON COLUMN prompt_sets.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN prompt_sets.run_id IS
    'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN prompt_sets.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE candidates (
    id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL, model_id VARCHAR NOT NULL,
    sampling VARCHAR NOT NULL, temperature DOUBLE NOT NULL, max_new_tokens INTEGER NOT NULL,
    seed BIGINT NOT NULL, sample_index INTEGER NOT NULL, text VARCHAR NOT NULL, token_ids INTEGER[],
    logprobs FLOAT[], finish_reason VARCHAR NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, latency_seconds DOUBLE NOT NULL, cost_usd DOUBLE NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE candidates IS
    'Sampled answers; log-probabilities are those of the sampled tokens, at that temperature.';
COMMENT ON COLUMN candidates.id IS 'Hash of prompt_id, model_id, sampling, seed and sample_index.';
COMMENT ON COLUMN candidates.prompt_id IS 'prompts.id of what is answered.';
COMMENT ON COLUMN candidates.model_id IS 'models.id of the model that answered.';
COMMENT ON COLUMN candidates.sampling IS
    'Hash of all that shapes sampling beside model and seed; batches of different sampling are '
    'kept apart.';
COMMENT ON COLUMN candidates.temperature IS 'Sampling temperature; 0 takes the likeliest token.';
COMMENT ON COLUMN candidates.max_new_tokens IS 'Tokens at which an answer was cut off.';
COMMENT ON COLUMN candidates.seed IS 'Seed of the batch.';
COMMENT ON COLUMN candidates.sample_index IS
    '0, 1, 2 …: which of a prompt''s answers in its batch.';
COMMENT ON COLUMN candidates.text IS 'The answer, word for word.';
COMMENT ON COLUMN candidates.token_ids IS
    'Its tokens in the model''s vocabulary; null where a remote model gave none.';
COMMENT ON COLUMN candidates.logprobs IS
    'Log-probability of each token when it was drawn, in nats, at that temperature; null where a '
    'remote model gave none.';
COMMENT ON COLUMN candidates.finish_reason IS
    'eos: the model ended the answer; length: it was cut off; others as a remote server names '
    'them.';
COMMENT ON COLUMN candidates.prompt_tokens IS 'Tokens the model read.';
COMMENT ON COLUMN candidates.completion_tokens IS 'Tokens it wrote.';
COMMENT ON COLUMN candidates.latency_seconds IS
    'Seconds the model took; of a batch drawn together, the answer''s share.';
COMMENT ON COLUMN candidates.cost_usd IS
    'What a remote model charged, in US dollars; 0 for a local one.';
COMMENT ON COLUMN candidates.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN candidates.run_id IS
    'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN candidates.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE responses (
    id VARCHAR NOT NULL, request_hash VARCHAR NOT NULL, model VARCHAR NOT NULL,
    text VARCHAR NOT NULL, probabilities VARCHAR, finish_reason VARCHAR NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    latency_seconds DOUBLE NOT NULL, cost_usd DOUBLE NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE responses IS
    'What a judge''s model said to one question, word for word, with what it cost; each question, '
    'by its hash, is asked once. Verdicts are read from these rows: judgements.response_ids.';
COMMENT ON COLUMN responses.id IS 'Hash of request_hash.';
COMMENT ON COLUMN responses.request_hash IS
    'Hash of model, settings and question: each question is asked once.';
COMMENT ON COLUMN responses.model IS 'The model that was asked, by its name in the config.';
COMMENT ON COLUMN responses.text IS
    'What it said, word for word; empty where only probabilities were read.';
COMMENT ON COLUMN responses.probabilities IS
    'JSON object, of the labels or of the first token''s alternatives, 0 to 1; null where none '
    'were read.';
COMMENT ON COLUMN responses.finish_reason IS
    'eos: the model ended it; length: it was cut off; others as a remote server names them.';
COMMENT ON COLUMN responses.prompt_tokens IS 'Tokens it read.';
COMMENT ON COLUMN responses.completion_tokens IS 'Tokens it wrote.';
COMMENT ON COLUMN responses.latency_seconds IS
    'Seconds the model took; of a batch computed together, the answer''s share.';
COMMENT ON COLUMN responses.cost_usd IS 'What a remote model charged, in US dollars.';
COMMENT ON COLUMN responses.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN responses.run_id IS
    'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN responses.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE revisions (
    id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL, reviser VARCHAR NOT NULL,
    model VARCHAR NOT NULL, round INTEGER NOT NULL, parent_id VARCHAR, principle VARCHAR,
    critique VARCHAR, text VARCHAR NOT NULL, response_ids VARCHAR[] NOT NULL,
    cost_usd DOUBLE NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE revisions IS
    'Answers a model mended by a constitution: round 0 is its first answer, each later row mends '
    'its parent by a principle. reviser is the hash of model, constitution and prompts.';
COMMENT ON COLUMN revisions.id IS 'Hash of prompt_id, reviser and round.';
COMMENT ON COLUMN revisions.prompt_id IS 'prompts.id of what is answered.';
COMMENT ON COLUMN revisions.reviser IS 'Hash of model, constitution and prompts that revise.';
COMMENT ON COLUMN revisions.model IS 'The model that wrote and mended, by its name in the config.';
COMMENT ON COLUMN revisions.round IS '0 for the first answer, then 1, 2 …';
COMMENT ON COLUMN revisions.parent_id IS 'revisions.id of the answer it mends; null in round 0.';
COMMENT ON COLUMN revisions.principle IS 'The principle it was mended by; null in round 0.';
COMMENT ON COLUMN revisions.critique IS
    'What the model found wrong with the parent; null in round 0.';
COMMENT ON COLUMN revisions.text IS 'The answer of this round, word for word.';
COMMENT ON COLUMN revisions.response_ids IS 'responses.id of what the model said on the way.';
COMMENT ON COLUMN revisions.cost_usd IS
    'What a remote model charged for this round, in US dollars.';
COMMENT ON COLUMN revisions.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN revisions.run_id IS
    'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN revisions.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE judgements (
    id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL, judge VARCHAR NOT NULL,
    judge_version VARCHAR NOT NULL, candidate_id VARCHAR NOT NULL, opponent_id VARCHAR,
    presented VARCHAR NOT NULL, outcome VARCHAR NOT NULL, score DOUBLE, probability DOUBLE,
    raw_output VARCHAR, reason VARCHAR, latency_seconds DOUBLE NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cost_usd DOUBLE NOT NULL,
    attempt VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL,
    response_ids VARCHAR[] DEFAULT []
);
COMMENT ON TABLE judgements IS
    'One answer of one judge: score (0 to 1) of a candidate, or, of two shown, which is better '
    'and the probability that candidate_id, shown first, is. Unparsed and unavailable are no '
    'votes. The judge proxy is the reward model of the cycle: its scores are rewards, references '
    'around 0.';
COMMENT ON COLUMN judgements.id IS 'Hash of judge_version, candidate_id, opponent_id and attempt.';
COMMENT ON COLUMN judgements.prompt_id IS 'prompts.id of what both answers are about.';
COMMENT ON COLUMN judgements.judge IS
    'The judge''s name in the config; proxy for the cycle''s own reward model.';
COMMENT ON COLUMN judgements.judge_version IS
    'The judge with its model, prompts and options, as kind and hash; for proxy the reward '
    'model''s models.id.';
COMMENT ON COLUMN judgements.candidate_id IS
    'candidates.id of the answer judged, or of the one shown first of two.';
COMMENT ON COLUMN judgements.opponent_id IS
    'candidates.id of the answer shown second; null where one was judged alone.';
COMMENT ON COLUMN judgements.presented IS
    'alone, forward (two in the order of their sample_index) or reversed.';
COMMENT ON COLUMN judgements.outcome IS
    'scored, first, second or tie are opinions; abstains, unparsed and unavailable are none.';
COMMENT ON COLUMN judgements.score IS
    '0 to 1, of an answer judged alone; in the reward model''s own unit for proxy; null without '
    'an opinion, and of two answers compared.';
COMMENT ON COLUMN judgements.probability IS
    'That the answer shown first is the better one, 0 to 1; null without an opinion, and of one '
    'judged alone.';
COMMENT ON COLUMN judgements.raw_output IS
    'What the verdict was made of, for people, often JSON; null where there is nothing to show. '
    'What a model said word for word is in responses.';
COMMENT ON COLUMN judgements.reason IS 'Why there is no opinion; null where there is one.';
COMMENT ON COLUMN judgements.latency_seconds IS
    'Seconds its model took for the responses it rests on; 0 for judges that ask none.';
COMMENT ON COLUMN judgements.prompt_tokens IS 'Tokens its model read for them.';
COMMENT ON COLUMN judgements.completion_tokens IS 'Tokens its model wrote.';
COMMENT ON COLUMN judgements.cost_usd IS
    'What its remote model charged for them, in US dollars; responses that two judgements rest on '
    'are counted in both.';
COMMENT ON COLUMN judgements.attempt IS
    'Empty but for unavailable: the run that asked in vain, so that a later one asks again.';
COMMENT ON COLUMN judgements.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN judgements.run_id IS
    'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN judgements.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';
COMMENT ON COLUMN judgements.response_ids IS
    'responses.id of what it was read from; empty for judges that ask no model, and before Solon '
    'kept responses.';

CREATE TABLE rankings (
    id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL, model_id VARCHAR NOT NULL,
    seed BIGINT NOT NULL, recipe VARCHAR NOT NULL, candidate_ids VARCHAR[] NOT NULL,
    utilities DOUBLE[] NOT NULL, judgement_ids VARCHAR[] NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL,
    parts INTEGER[]
);
COMMENT ON TABLE rankings IS
    'The candidates of a prompt, best first, as all judges together see it.';
COMMENT ON COLUMN rankings.id IS 'Hash of recipe, candidate_ids and judgement_ids.';
COMMENT ON COLUMN rankings.prompt_id IS 'prompts.id of what is answered.';
COMMENT ON COLUMN rankings.model_id IS 'models.id of the model that gave the answers.';
COMMENT ON COLUMN rankings.seed IS 'Seed of the batch they are from.';
COMMENT ON COLUMN rankings.recipe IS
    'Hash of how judges were combined: their versions, weights and the margin of ties.';
COMMENT ON COLUMN rankings.candidate_ids IS 'candidates.id, best first.';
COMMENT ON COLUMN rankings.utilities IS
    'How good each is, best first, in the order of candidate_ids: tanh(s / 2) of its '
    'Bradley-Terry strength s in log-odds, fitted to all that judges compared; -1 to 1, 0 is '
    'average. P(one is better than another) = (1 + (u - v) / (1 - u * v)) / 2. Before migration '
    '19: mean margin.';
COMMENT ON COLUMN rankings.judgement_ids IS 'judgements.id of all that it rests on.';
COMMENT ON COLUMN rankings.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN rankings.run_id IS
    'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN rankings.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';
COMMENT ON COLUMN rankings.parts IS
    'Part of each candidate, where judges compared no candidate of one part with any of another, '
    'not even by way of others: the order of two parts means nothing. Null where all are one part.';

CREATE TABLE pairs (
    id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL, ranking_id VARCHAR NOT NULL,
    left_id VARCHAR NOT NULL, right_id VARCHAR NOT NULL, outcome VARCHAR NOT NULL,
    chosen_id VARCHAR, rejected_id VARCHAR, margin DOUBLE, agreement DOUBLE,
    judgement_ids VARCHAR[] NOT NULL, judge_versions VARCHAR[] NOT NULL,
    config_hash VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL,
    model_margin DOUBLE
);
COMMENT ON TABLE pairs IS
    'Two candidates of a ranking: preferred, tie or unscored; only preferred ones are trained on.';
COMMENT ON COLUMN pairs.id IS 'Hash of ranking_id, left_id and right_id.';
COMMENT ON COLUMN pairs.prompt_id IS 'prompts.id of what both answer.';
COMMENT ON COLUMN pairs.ranking_id IS 'rankings.id it was taken from.';
COMMENT ON COLUMN pairs.left_id IS 'candidates.id of the one with the lower sample_index.';
COMMENT ON COLUMN pairs.right_id IS 'candidates.id of the other.';
COMMENT ON COLUMN pairs.outcome IS
    'preferred, tie (margin at most preferences.tie_margin, or the same answer) or unscored (no '
    'judge compared the two, whatever follows from other pairs).';
COMMENT ON COLUMN pairs.chosen_id IS 'candidates.id of the better one; null unless preferred.';
COMMENT ON COLUMN pairs.rejected_id IS 'candidates.id of the worse one; null unless preferred.';
COMMENT ON COLUMN pairs.margin IS
    '2 P - 1, where P is the probability that the chosen one is better by the judges'' own '
    'comparison of the two, however many candidates there are; null where unscored. 0 to 1; 0 to '
    '2 of imported pairs. Before migration 19 (model_margin is null): the difference of '
    'utilities, 0 to 2 - 2/K.';
COMMENT ON COLUMN pairs.agreement IS
    'Weighted share of the judges with an opinion that side with the chosen one, 0 to 1; null '
    'unless preferred.';
COMMENT ON COLUMN pairs.judgement_ids IS 'judgements.id of those about the two.';
COMMENT ON COLUMN pairs.judge_versions IS 'judgements.judge_version of those judges.';
COMMENT ON COLUMN pairs.config_hash IS 'configs.config_hash of the run that made it first.';
COMMENT ON COLUMN pairs.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN pairs.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN pairs.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';
COMMENT ON COLUMN pairs.model_margin IS
    'The same of left over right by the strengths of the ranking, -1 to 1; it trains nothing. '
    'Where it does not side with the label, the votes on the prompt are intransitive: see '
    'intransitive_pairs.';

CREATE TABLE models (
    id VARCHAR NOT NULL, kind VARCHAR NOT NULL, base VARCHAR NOT NULL, parent_id VARCHAR,
    recipe VARCHAR NOT NULL, data_hash VARCHAR NOT NULL, seed BIGINT NOT NULL,
    config_hash VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE models IS
    'Every model version: its parent, recipe and data; artifacts/models/ID holds its weights.';
COMMENT ON COLUMN models.id IS
    'Its kind, and the hash of kind, base, parent_id, recipe, data_hash and seed: the same '
    'training is one row.';
COMMENT ON COLUMN models.kind IS 'base, endpoint (a remote one), sft, reward or policy.';
COMMENT ON COLUMN models.base IS 'Name or folder of the model it all began with.';
COMMENT ON COLUMN models.parent_id IS
    'models.id of the model it was trained from; null for a base or endpoint.';
COMMENT ON COLUMN models.recipe IS 'JSON of every setting that shapes it.';
COMMENT ON COLUMN models.data_hash IS
    'Hash of the ids it was trained on; empty where the recipe says it all.';
COMMENT ON COLUMN models.seed IS 'Seed of its training.';
COMMENT ON COLUMN models.config_hash IS 'configs.config_hash of the run that made it first.';
COMMENT ON COLUMN models.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN models.run_id IS 'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN models.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE model_inputs (
    id VARCHAR NOT NULL, model_id VARCHAR NOT NULL, input_table VARCHAR NOT NULL,
    input_id VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL,
    role VARCHAR DEFAULT 'learnt'
);
COMMENT ON TABLE model_inputs IS
    'The rows a model rests on, one a row; most of them it learnt from.';
COMMENT ON COLUMN model_inputs.id IS
    'Hash of model and input, and of the role where it is not learnt.';
COMMENT ON COLUMN model_inputs.model_id IS 'models.id of the model that learnt.';
COMMENT ON COLUMN model_inputs.input_table IS
    'Which table input_id is from: prompts, rankings, models …';
COMMENT ON COLUMN model_inputs.input_id IS
    'The id of the row it learnt from, or of the model whose scores it learnt from.';
COMMENT ON COLUMN model_inputs.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN model_inputs.run_id IS
    'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN model_inputs.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';
COMMENT ON COLUMN model_inputs.role IS
    'learnt: it learnt from the row, or, of a reward model, was taught or chosen by it. Prompts: '
    'chosen_on (its weights were chosen by its answers to it), normalised_on (its zero is the '
    'mean reward of its reference and others). Pairs: left_out (retracted, so it learnt from the '
    'rest of the ranking alone). Models: base (it began as this one), sampler (it learnt from '
    'rankings of its answers), judge (from verdicts that it was asked for), reviser (from '
    'revisions of it).';

CREATE TABLE rollouts (
    id VARCHAR NOT NULL, model_id VARCHAR NOT NULL, step INTEGER NOT NULL, row INTEGER NOT NULL,
    prompt_id VARCHAR NOT NULL, text VARCHAR NOT NULL, score DOUBLE, kl DOUBLE NOT NULL,
    completion_tokens INTEGER NOT NULL, finish_reason VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL,
    parts VARCHAR
);
COMMENT ON TABLE rollouts IS 'Answers the policy gave while it was trained, and their reward.';
COMMENT ON COLUMN rollouts.id IS 'Hash of model_id, step and row.';
COMMENT ON COLUMN rollouts.model_id IS 'models.id of the policy in training.';
COMMENT ON COLUMN rollouts.step IS 'Training step, from 1.';
COMMENT ON COLUMN rollouts.row IS 'Which answer of the step, from 0.';
COMMENT ON COLUMN rollouts.prompt_id IS 'prompts.id of what is answered.';
COMMENT ON COLUMN rollouts.text IS 'The answer, word for word.';
COMMENT ON COLUMN rollouts.score IS
    'Its reward before the KL penalty, in the unit of the reward; at most missing_eos_score, and '
    'the lowest of the finished answers to its prompt, where it did not end. Null where a judge '
    'in the reward has no opinion: nothing is learnt from it.';
COMMENT ON COLUMN rollouts.kl IS
    'How far the policy went from the reference over this answer, in nats, summed over its tokens.';
COMMENT ON COLUMN rollouts.completion_tokens IS 'Tokens of the answer.';
COMMENT ON COLUMN rollouts.finish_reason IS 'eos: the policy ended it; length: it was cut off.';
COMMENT ON COLUMN rollouts.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN rollouts.run_id IS
    'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN rollouts.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';
COMMENT ON COLUMN rollouts.parts IS
    'JSON object: the score of the reward model and of each judge in the reward, before weights; '
    'a part without an opinion is left out. Null before Solon kept it.';

CREATE TABLE metrics (
    id VARCHAR NOT NULL, model_id VARCHAR NOT NULL, step INTEGER NOT NULL, name VARCHAR NOT NULL,
    value DOUBLE NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE metrics IS 'Training curves; deploy/docs/metrics.md says what each name means.';
COMMENT ON COLUMN metrics.id IS 'Hash of model_id, step and name.';
COMMENT ON COLUMN metrics.model_id IS 'models.id of the model in training.';
COMMENT ON COLUMN metrics.step IS 'Training step, from 1.';
COMMENT ON COLUMN metrics.name IS 'Which figure; deploy/docs/metrics.md defines each.';
COMMENT ON COLUMN metrics.value IS 'The figure, in the unit given there.';
COMMENT ON COLUMN metrics.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN metrics.run_id IS
    'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN metrics.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE evaluations (
    id VARCHAR NOT NULL, policy_id VARCHAR NOT NULL, baseline_id VARCHAR NOT NULL,
    judge VARCHAR NOT NULL, judge_version VARCHAR NOT NULL, role VARCHAR NOT NULL,
    settings VARCHAR NOT NULL, prompts INTEGER NOT NULL, comparisons INTEGER NOT NULL,
    unscored INTEGER NOT NULL, win_rate DOUBLE, win_rate_low DOUBLE, win_rate_high DOUBLE,
    policy_score DOUBLE, baseline_score DOUBLE, policy_tokens DOUBLE NOT NULL,
    baseline_tokens DOUBLE NOT NULL, policy_eos_rate DOUBLE NOT NULL, kl DOUBLE NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE evaluations IS
    'Policy against baseline on held-out prompts, a row a judge; role says whether the judge '
    'decides, is reported beside, or judged the training data too.';
COMMENT ON COLUMN evaluations.id IS
    'Hash of policy_id, baseline_id, judge, judge_version and settings.';
COMMENT ON COLUMN evaluations.policy_id IS 'models.id of the policy.';
COMMENT ON COLUMN evaluations.baseline_id IS
    'models.id it is compared with: the champion, which is the policy promoted before, or the SFT '
    'model.';
COMMENT ON COLUMN evaluations.judge IS
    'The judge''s name in the config; proxy for the reward model.';
COMMENT ON COLUMN evaluations.judge_version IS 'judgements.judge_version of that judge.';
COMMENT ON COLUMN evaluations.role IS
    'decides, reports, trained_on (it also judged the training data) or proxy (the reward model).';
COMMENT ON COLUMN evaluations.settings IS
    'Hash of how answers were drawn, compared and counted, on which prompts, who looked at them '
    'in which role, and what they said.';
COMMENT ON COLUMN evaluations.prompts IS 'Prompts with at least one comparison that counts.';
COMMENT ON COLUMN evaluations.comparisons IS
    'Pairs of answers that were to be compared, unscored ones included.';
COMMENT ON COLUMN evaluations.unscored IS 'Those of them that the judge had no opinion of.';
COMMENT ON COLUMN evaluations.win_rate IS
    'Share of comparisons the policy won, ties and identical answers one half, prompts weighing '
    'the same; null where nothing was scored.';
COMMENT ON COLUMN evaluations.win_rate_low IS
    'Lower end of its interval over prompts, at promotion.confidence; null with win_rate.';
COMMENT ON COLUMN evaluations.win_rate_high IS 'Upper end of that interval; null with win_rate.';
COMMENT ON COLUMN evaluations.policy_score IS
    'Mean score of the policy''s answers, in the judge''s unit; null for judges that compare.';
COMMENT ON COLUMN evaluations.baseline_score IS
    'Mean score of the baseline''s answers; null for judges that compare.';
COMMENT ON COLUMN evaluations.policy_tokens IS 'Mean length of the policy''s answers, in tokens.';
COMMENT ON COLUMN evaluations.baseline_tokens IS
    'Mean length of the baseline''s answers, in tokens.';
COMMENT ON COLUMN evaluations.policy_eos_rate IS
    'Share of the policy''s answers that it ended itself, 0 to 1.';
COMMENT ON COLUMN evaluations.kl IS
    'Mean over its answers of how far the policy is from the SFT model, in nats an answer.';
COMMENT ON COLUMN evaluations.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN evaluations.run_id IS
    'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN evaluations.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE promotions (
    id VARCHAR NOT NULL, config_hash VARCHAR NOT NULL, cycle INTEGER NOT NULL,
    policy_id VARCHAR NOT NULL, baseline_id VARCHAR NOT NULL, evaluation_id VARCHAR NOT NULL,
    promoted BOOLEAN NOT NULL, reasons VARCHAR[] NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL,
    line VARCHAR DEFAULT ''
);
COMMENT ON TABLE promotions IS 'The decision of each cycle: promoted or refused, and why.';
COMMENT ON COLUMN promotions.id IS 'Hash of line and cycle.';
COMMENT ON COLUMN promotions.config_hash IS 'configs.config_hash of the run.';
COMMENT ON COLUMN promotions.cycle IS 'Number of the cycle, from 1.';
COMMENT ON COLUMN promotions.policy_id IS 'models.id of the policy decided on.';
COMMENT ON COLUMN promotions.baseline_id IS 'models.id it was compared with.';
COMMENT ON COLUMN promotions.evaluation_id IS 'evaluations.id of the evaluation that decided.';
COMMENT ON COLUMN promotions.promoted IS 'Whether it took over.';
COMMENT ON COLUMN promotions.reasons IS 'Every reason for the decision, in words.';
COMMENT ON COLUMN promotions.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN promotions.run_id IS
    'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN promotions.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';
COMMENT ON COLUMN promotions.line IS
    'Name of the policy line; of rows from before there were names, config_hash.';

CREATE TABLE cycle_runs (
    id VARCHAR NOT NULL, line VARCHAR NOT NULL, cycle INTEGER NOT NULL,
    config_hash VARCHAR NOT NULL, source VARCHAR NOT NULL, attempt VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE cycle_runs IS
    'Runs of cycles that began: which line, cycle and config each run_id belongs to. A cycle that '
    'was cut short and resumed has several.';
COMMENT ON COLUMN cycle_runs.id IS 'Hash of line, cycle and attempt.';
COMMENT ON COLUMN cycle_runs.line IS 'Name of the policy line.';
COMMENT ON COLUMN cycle_runs.cycle IS 'Number of the cycle, from 1.';
COMMENT ON COLUMN cycle_runs.config_hash IS 'configs.config_hash of the run.';
COMMENT ON COLUMN cycle_runs.source IS 'Path of the config file; empty where there was none.';
COMMENT ON COLUMN cycle_runs.attempt IS 'The run''s id, as in run_id.';
COMMENT ON COLUMN cycle_runs.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN cycle_runs.run_id IS
    'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN cycle_runs.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE stage_runs (
    id VARCHAR NOT NULL, config_hash VARCHAR NOT NULL, cycle INTEGER NOT NULL,
    stage VARCHAR NOT NULL, seconds DOUBLE NOT NULL, detail VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL,
    line VARCHAR DEFAULT ''
);
COMMENT ON TABLE stage_runs IS 'Each stage of each cycle that ended, once.';
COMMENT ON COLUMN stage_runs.id IS 'Hash of line, config_hash, cycle and stage.';
COMMENT ON COLUMN stage_runs.config_hash IS 'configs.config_hash of the run.';
COMMENT ON COLUMN stage_runs.cycle IS 'Number of the cycle, from 1.';
COMMENT ON COLUMN stage_runs.stage IS 'Name of the stage, as in the README''s table.';
COMMENT ON COLUMN stage_runs.seconds IS 'How long it took when it first ended.';
COMMENT ON COLUMN stage_runs.detail IS
    'JSON object of counts, names and reasons that it ended with.';
COMMENT ON COLUMN stage_runs.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN stage_runs.run_id IS
    'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN stage_runs.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';
COMMENT ON COLUMN stage_runs.line IS
    'Name of the policy line; of rows from before there were names, config_hash.';

CREATE TABLE failures (
    id VARCHAR NOT NULL, stage VARCHAR NOT NULL, subject_id VARCHAR NOT NULL,
    reason VARCHAR NOT NULL, attempt VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE failures IS 'Work that could not be done, and why; the next run tries it again.';
COMMENT ON COLUMN failures.id IS 'Hash of stage, subject_id and attempt.';
COMMENT ON COLUMN failures.stage IS 'Where it failed: sample or revise.';
COMMENT ON COLUMN failures.subject_id IS 'The id of what could not be worked on: prompts.id.';
COMMENT ON COLUMN failures.reason IS 'What went wrong, in words.';
COMMENT ON COLUMN failures.attempt IS
    'The run that failed at it: stage_runs of a later one may have it done.';
COMMENT ON COLUMN failures.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN failures.run_id IS
    'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN failures.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE retractions (
    id VARCHAR NOT NULL, subject_table VARCHAR NOT NULL, subject_id VARCHAR NOT NULL,
    number INTEGER NOT NULL, withdrawn BOOLEAN NOT NULL, reason VARCHAR NOT NULL,
    retracted_by VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE retractions IS
    'Decisions that a fact must not be relied on, or may be again: of each subject the one with '
    'the highest number counts. The fact itself stays; `retracted` shows what is retracted now.';
COMMENT ON COLUMN retractions.id IS 'Hash of subject_table, subject_id and number.';
COMMENT ON COLUMN retractions.subject_table IS
    'judgements, judge_versions, pairs, candidates or prompts; judge_versions means all '
    'judgements of that version.';
COMMENT ON COLUMN retractions.subject_id IS 'Id of the retracted row, or the judge version.';
COMMENT ON COLUMN retractions.number IS 'Which decision about this subject it is, from 1.';
COMMENT ON COLUMN retractions.withdrawn IS 'Whether this decision takes the one before it back.';
COMMENT ON COLUMN retractions.reason IS 'Why, in the words of who decided.';
COMMENT ON COLUMN retractions.retracted_by IS 'Who decided.';
COMMENT ON COLUMN retractions.created_at IS 'When the row was written.';
COMMENT ON COLUMN retractions.run_id IS 'Which run wrote it.';
COMMENT ON COLUMN retractions.code_version IS 'Which version of the code wrote it.';

CREATE TABLE judge_benchmarks (
    id VARCHAR NOT NULL, benchmark VARCHAR NOT NULL, judge VARCHAR NOT NULL,
    judge_version VARCHAR NOT NULL, data VARCHAR NOT NULL, items_hash VARCHAR NOT NULL,
    metric VARCHAR NOT NULL, facet VARCHAR NOT NULL, n INTEGER NOT NULL, value DOUBLE NOT NULL,
    low DOUBLE, high DOUBLE,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE judge_benchmarks IS
    'Figures of judges on labelled answers, with their interval; deploy/docs/metrics.md says what '
    'each metric means. facet is a subset, another judge or an attack; empty for the whole. '
    'Compare only rows of the same items_hash.';
COMMENT ON COLUMN judge_benchmarks.id IS
    'Hash of benchmark, judge, items_hash, data, metric and facet.';
COMMENT ON COLUMN judge_benchmarks.benchmark IS
    'One hearing of a panel of judges: rows of one hearing share it.';
COMMENT ON COLUMN judge_benchmarks.judge IS
    'The judge''s name in the config; longer wins for what length alone explains; all judges for '
    'figures of them together.';
COMMENT ON COLUMN judge_benchmarks.judge_version IS
    'judgements.judge_version of that judge; empty for longer wins and all judges.';
COMMENT ON COLUMN judge_benchmarks.data IS 'The file of labelled answers.';
COMMENT ON COLUMN judge_benchmarks.items_hash IS 'Hash of the labelled answers themselves.';
COMMENT ON COLUMN judge_benchmarks.metric IS 'Which figure; deploy/docs/metrics.md defines each.';
COMMENT ON COLUMN judge_benchmarks.facet IS
    'The part the figure is about: a subset, another judge, an attack; empty for the whole.';
COMMENT ON COLUMN judge_benchmarks.n IS 'How many cases it rests on.';
COMMENT ON COLUMN judge_benchmarks.value IS 'The figure, in the unit given there.';
COMMENT ON COLUMN judge_benchmarks.low IS 'Lower end of its 95 % interval; null where it has none.';
COMMENT ON COLUMN judge_benchmarks.high IS
    'Upper end of its 95 % interval; null where it has none.';
COMMENT ON COLUMN judge_benchmarks.created_at IS 'When the row was written, UTC.';
COMMENT ON COLUMN judge_benchmarks.run_id IS
    'The run that wrote the row: a random name that its rows share.';
COMMENT ON COLUMN judge_benchmarks.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE judge_models (
    id VARCHAR NOT NULL, judge_version VARCHAR NOT NULL, model_id VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE judge_models IS
    'Judges that ask a model made here: what that model stands on is behind their verdicts.';
COMMENT ON COLUMN judge_models.id IS 'Hash of judge version and model.';
COMMENT ON COLUMN judge_models.judge_version IS 'As judgements.judge_version.';
COMMENT ON COLUMN judge_models.model_id IS 'models.id of its model; a jury has a row for each.';
COMMENT ON COLUMN judge_models.created_at IS 'When the row was written.';
COMMENT ON COLUMN judge_models.run_id IS 'Which run wrote it.';
COMMENT ON COLUMN judge_models.code_version IS 'Which version of the code wrote it.';

CREATE TABLE rollout_verdicts (
    id VARCHAR NOT NULL, model_id VARCHAR NOT NULL, rollout_id VARCHAR NOT NULL,
    judge VARCHAR NOT NULL, judge_version VARCHAR NOT NULL, outcome VARCHAR NOT NULL, score DOUBLE,
    raw_output VARCHAR, reason VARCHAR, response_ids VARCHAR[] NOT NULL,
    latency_seconds DOUBLE NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, cost_usd DOUBLE NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE rollout_verdicts IS
    'What each judge inside the reward said of each answer that a policy gave while it trained; '
    'none where the judge was not asked, since the prompt is of a mode that it does not judge.';
COMMENT ON COLUMN rollout_verdicts.id IS 'Hash of rollout and judge version.';
COMMENT ON COLUMN rollout_verdicts.model_id IS 'models.id of the policy.';
COMMENT ON COLUMN rollout_verdicts.rollout_id IS 'rollouts.id of the answer.';
COMMENT ON COLUMN rollout_verdicts.judge IS 'Name in the config; the part of rollouts.parts.';
COMMENT ON COLUMN rollout_verdicts.judge_version IS 'As in judgements, kind and hash.';
COMMENT ON COLUMN rollout_verdicts.outcome IS
    'scored, abstains, unparsed or unavailable; without a score the answer got the mean of the '
    'others.';
COMMENT ON COLUMN rollout_verdicts.score IS '0 to 1, before its weight; null without an opinion.';
COMMENT ON COLUMN rollout_verdicts.raw_output IS 'What the verdict was made of.';
COMMENT ON COLUMN rollout_verdicts.reason IS 'Why there is no score.';
COMMENT ON COLUMN rollout_verdicts.response_ids IS 'responses.id of what its model said.';
COMMENT ON COLUMN rollout_verdicts.latency_seconds IS 'From asking to answer.';
COMMENT ON COLUMN rollout_verdicts.prompt_tokens IS 'Tokens that its model read.';
COMMENT ON COLUMN rollout_verdicts.completion_tokens IS 'Tokens that its model wrote.';
COMMENT ON COLUMN rollout_verdicts.cost_usd IS 'What asking cost, in US dollars.';
COMMENT ON COLUMN rollout_verdicts.created_at IS 'When the row was written.';
COMMENT ON COLUMN rollout_verdicts.run_id IS 'Which run wrote it.';
COMMENT ON COLUMN rollout_verdicts.code_version IS 'Which version of the code wrote it.';

CREATE TABLE imports (
    id VARCHAR NOT NULL, source VARCHAR NOT NULL, form VARCHAR NOT NULL,
    judge_version VARCHAR NOT NULL, model_id VARCHAR NOT NULL, config_hash VARCHAR NOT NULL,
    rows INTEGER NOT NULL, left_out INTEGER NOT NULL, bad INTEGER NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE imports IS
    'Files of preferences that were imported to their end; an import that was cut off has no row.';
COMMENT ON COLUMN imports.id IS 'Content hash of judge_version.';
COMMENT ON COLUMN imports.source IS
    'The name given at import; preferences.imported in a config names it.';
COMMENT ON COLUMN imports.form IS 'preference, ranking, sft or kto.';
COMMENT ON COLUMN imports.judge_version IS
    'The judge to whom the file''s labels are written: external- and a hash of source and rows, '
    'and of the prompts that hygiene left out.';
COMMENT ON COLUMN imports.model_id IS
    'The model, of kind external, to which its answers are written.';
COMMENT ON COLUMN imports.config_hash IS
    'What its pairs carry; the row of configs holds its settings.';
COMMENT ON COLUMN imports.rows IS 'Different rows that are kept.';
COMMENT ON COLUMN imports.left_out IS
    'Rows that are not kept: equal answers or scores, said before, exported by this store itself, '
    'with personal data (policy drop), of repeated prompts, of prompts that a user had deleted.';
COMMENT ON COLUMN imports.bad IS 'Rows that could not be read, under --skip-bad.';
COMMENT ON COLUMN imports.created_at IS 'When the row was written.';
COMMENT ON COLUMN imports.run_id IS 'Which run wrote it.';
COMMENT ON COLUMN imports.code_version IS 'Which version of Solon wrote it.';

CREATE TABLE imported_rows (
    id VARCHAR NOT NULL, import_id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL,
    subject_table VARCHAR NOT NULL, subject_id VARCHAR NOT NULL, part INTEGER NOT NULL,
    place VARCHAR NOT NULL, is_conversation BOOLEAN NOT NULL, messages VARCHAR,
    columns VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE imported_rows IS
    'Each imported row: the fact it became, where it stood, and what it held beside words and '
    'labels.';
COMMENT ON COLUMN imported_rows.id IS 'Content hash of import, subject and part.';
COMMENT ON COLUMN imported_rows.import_id IS 'Row of imports.';
COMMENT ON COLUMN imported_rows.prompt_id IS 'Row of prompts.';
COMMENT ON COLUMN imported_rows.subject_table IS
    'Where what it became lies: pairs, rankings, prompts (sft) or judgements (kto: the label; '
    'pairs are made of labels of one prompt that differ).';
COMMENT ON COLUMN imported_rows.subject_id IS 'Row of that table.';
COMMENT ON COLUMN imported_rows.part IS 'For sft, which of the reference answers, from 0; else 0.';
COMMENT ON COLUMN imported_rows.place IS 'File and line it was first read from.';
COMMENT ON COLUMN imported_rows.is_conversation IS 'Whether the words were lists of messages.';
COMMENT ON COLUMN imported_rows.messages IS
    'JSON: the messages of prompt and answers that are more than one of a user and one of an '
    'assistant. Their texts in prompts and candidates are the same, written as a dialogue.';
COMMENT ON COLUMN imported_rows.columns IS
    'JSON: every other column of the row, such as the pair and the judges it came from; personal '
    'data in it is treated as in the words.';
COMMENT ON COLUMN imported_rows.created_at IS 'When the row was written.';
COMMENT ON COLUMN imported_rows.run_id IS 'Which run wrote it.';
COMMENT ON COLUMN imported_rows.code_version IS 'Which version of Solon wrote it.';

CREATE TABLE prompt_users (
    id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL, user_id VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE prompt_users IS
    'Who sent a prompt, where the source says it; a prompt can come from several users.';
COMMENT ON COLUMN prompt_users.id IS 'Hash of prompt and user.';
COMMENT ON COLUMN prompt_users.prompt_id IS 'Of prompts.';
COMMENT ON COLUMN prompt_users.user_id IS
    'As the source gives it, not hashed: put pseudonyms into the source where ids are names.';
COMMENT ON COLUMN prompt_users.created_at IS 'When the row was written.';
COMMENT ON COLUMN prompt_users.run_id IS 'The run or command that wrote it.';
COMMENT ON COLUMN prompt_users.code_version IS 'Release and hash of the sources that wrote it.';

CREATE TABLE prompt_removals (
    id VARCHAR NOT NULL, prompt_set_id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL,
    reason VARCHAR NOT NULL, kept_id VARCHAR,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE prompt_removals IS
    'Prompts of a source, or of an import, that hygiene left out, once a version of the data.';
COMMENT ON COLUMN prompt_removals.id IS 'Hash of prompt set, prompt and reason.';
COMMENT ON COLUMN prompt_removals.prompt_set_id IS
    'The version of the data it was left out of: a row of prompt_sets, or of imports.';
COMMENT ON COLUMN prompt_removals.prompt_id IS
    'The id it would have, a hash of its content; other sets can hold it.';
COMMENT ON COLUMN prompt_removals.reason IS
    'both_splits (users on both sides sent it), shared_prefix, near_duplicate, or per_user (a '
    'sender has enough prompts).';
COMMENT ON COLUMN prompt_removals.kept_id IS 'The prompt that stands for it; null where none does.';
COMMENT ON COLUMN prompt_removals.created_at IS 'When the row was written.';
COMMENT ON COLUMN prompt_removals.run_id IS 'The run or command that wrote it.';
COMMENT ON COLUMN prompt_removals.code_version IS 'Release and hash of the sources that wrote it.';

CREATE TABLE privacy_findings (
    id VARCHAR NOT NULL, prompt_set_id VARCHAR NOT NULL, source VARCHAR NOT NULL,
    kind VARCHAR NOT NULL, action VARCHAR NOT NULL, prompt_id VARCHAR, spans INTEGER NOT NULL,
    prompts INTEGER NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE privacy_findings IS
    'Personal data found in the texts of a source of prompts, or of an import, never the text.';
COMMENT ON COLUMN privacy_findings.id IS 'Hash of prompt set, source, kind, action and prompt.';
COMMENT ON COLUMN privacy_findings.prompt_set_id IS
    'The version of the data it was found in: a row of prompt_sets, or of imports.';
COMMENT ON COLUMN privacy_findings.source IS
    'Where the prompts were read, as in the config; the name of an import.';
COMMENT ON COLUMN privacy_findings.kind IS
    'email, phone, credit_card, iban, ip_address or secret (keys, tokens, passwords in addresses).';
COMMENT ON COLUMN privacy_findings.action IS
    'counted (the text stayed as it was), masked (a placeholder took its place) or dropped.';
COMMENT ON COLUMN privacy_findings.prompt_id IS
    'Of prompts; of an import, the prompt of the rows it was found in. Null for what was dropped, '
    'which one row a kind sums up.';
COMMENT ON COLUMN privacy_findings.spans IS
    'How many places in the prompt, its context and references; of an import, in all its rows '
    'about the prompt, answers and other columns included.';
COMMENT ON COLUMN privacy_findings.prompts IS
    'How many prompts the row is about; of what an import dropped, how many of its rows.';
COMMENT ON COLUMN privacy_findings.created_at IS 'When the row was written.';
COMMENT ON COLUMN privacy_findings.run_id IS 'The run or command that wrote it.';
COMMENT ON COLUMN privacy_findings.code_version IS 'Release and hash of the sources that wrote it.';

CREATE TABLE deletions (
    id VARCHAR NOT NULL, user_hash VARCHAR NOT NULL, requested_by VARCHAR NOT NULL,
    deletion VARCHAR NOT NULL, deleted_rows VARCHAR NOT NULL, model_ids VARCHAR[] NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE deletions IS
    'Each `solon forget`: the one exception to facts that are never changed, and itself a fact.';
COMMENT ON COLUMN deletions.id IS 'Hash of user hash and deletion.';
COMMENT ON COLUMN deletions.user_hash IS
    'Hash of the user id by a key, after the key''s name and a dash: who has the key can look up '
    'an id, nobody can read it back. Without a dash it was made without a key, by an earlier '
    'version.';
COMMENT ON COLUMN deletions.requested_by IS 'Account on the machine that ran the command.';
COMMENT ON COLUMN deletions.deletion IS 'Tells two deletions of one user apart.';
COMMENT ON COLUMN deletions.deleted_rows IS 'JSON object: rows deleted, by table.';
COMMENT ON COLUMN deletions.model_ids IS
    'Models that learnt from what was deleted, directly or through a model they come from; their '
    'weights stay.';
COMMENT ON COLUMN deletions.created_at IS 'When the row was written.';
COMMENT ON COLUMN deletions.run_id IS 'The run or command that wrote it.';
COMMENT ON COLUMN deletions.code_version IS 'Release and hash of the sources that wrote it.';

CREATE TABLE prompt_tombstones (
    id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL, user_hash VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE prompt_tombstones IS
    'Prompts a user had deleted. Reading the same source again does not bring them back: a row of '
    'that user, or of nobody, is left out; other users may send the same words.';
COMMENT ON COLUMN prompt_tombstones.id IS 'Hash of prompt and user hash.';
COMMENT ON COLUMN prompt_tombstones.prompt_id IS 'The id it had, a hash of its content.';
COMMENT ON COLUMN prompt_tombstones.user_hash IS 'As in deletions.';
COMMENT ON COLUMN prompt_tombstones.created_at IS 'When the row was written.';
COMMENT ON COLUMN prompt_tombstones.run_id IS 'The run or command that wrote it.';
COMMENT ON COLUMN prompt_tombstones.code_version IS
    'Release and hash of the sources that wrote it.';

CREATE TABLE spot_checks (
    id VARCHAR NOT NULL, pair_id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL,
    left_id VARCHAR NOT NULL, right_id VARCHAR NOT NULL, person VARCHAR NOT NULL,
    verdict VARCHAR NOT NULL, note VARCHAR, strategy VARCHAR NOT NULL, shown_left VARCHAR NOT NULL,
    seconds DOUBLE NOT NULL, round INTEGER NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE spot_checks IS
    'What people said of pairs, blind to the judges: evidence about judges, never training data. '
    'A changed mind is a row of a higher round; human_verdicts has the newest.';
COMMENT ON COLUMN spot_checks.id IS 'Hash of candidates, person, round, verdict and note.';
COMMENT ON COLUMN spot_checks.pair_id IS 'The pair that was shown; pairs.id.';
COMMENT ON COLUMN spot_checks.prompt_id IS 'Its prompt; prompts.id.';
COMMENT ON COLUMN spot_checks.left_id IS
    'The pair''s left candidate; not always shown on the left.';
COMMENT ON COLUMN spot_checks.right_id IS 'The pair''s right candidate.';
COMMENT ON COLUMN spot_checks.person IS 'Who checked, by a name of their choice.';
COMMENT ON COLUMN spot_checks.verdict IS
    'left or right: left_id or right_id is better, wherever it was shown; tie; unsure.';
COMMENT ON COLUMN spot_checks.note IS 'What the person wrote to it; null if nothing.';
COMMENT ON COLUMN spot_checks.strategy IS
    'Why it was chosen: disagreement, low_margin, high_weight or random. Only random speaks for '
    'all pairs; the others look where labels are likely wrong or matter most.';
COMMENT ON COLUMN spot_checks.shown_left IS
    'The candidate shown on the left, drawn at random for each pair and person.';
COMMENT ON COLUMN spot_checks.seconds IS 'From the pair''s appearing to the verdict.';
COMMENT ON COLUMN spot_checks.round IS '1 at first; one more each time the person says again.';
COMMENT ON COLUMN spot_checks.created_at IS 'When the row was written.';
COMMENT ON COLUMN spot_checks.run_id IS 'The session that wrote it.';
COMMENT ON COLUMN spot_checks.code_version IS 'Solon''s version that wrote it.';

COMMENT ON TABLE migrations IS 'Which of the schema''s files were applied to this store.';
COMMENT ON COLUMN migrations.number IS 'The file''s number; 0 for a file of views.';
COMMENT ON COLUMN migrations.name IS 'The file''s name.';
COMMENT ON COLUMN migrations.hash IS
    'Hash of the file as it was applied; an edited one is refused, or applied again if it holds views.';
COMMENT ON COLUMN migrations.applied_at IS 'When it was applied.';
