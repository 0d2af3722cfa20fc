-- Facts are appended and never changed. Ids are content hashes, made unique by an anti-join under
-- the store's lock: a primary key would cost four times the memory on append, and a foreign key
-- would forbid the list columns. The check_ views report what those would have refused.

CREATE TABLE configs (
    id VARCHAR NOT NULL, config_hash VARCHAR NOT NULL, config VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL,
    deciding VARCHAR DEFAULT '{}'
);
COMMENT ON TABLE configs IS 'Every config that ran, as JSON, with the hash that other rows carry.';
COMMENT ON COLUMN configs.id IS 'Hash of config_hash.';
COMMENT ON COLUMN configs.config_hash IS
    'Hash of the settings that change results, which pairs, models, promotions and stage_runs '
    'carry.';
COMMENT ON COLUMN configs.config IS 'The whole config as JSON, defaults included.';
COMMENT ON COLUMN configs.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN configs.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN configs.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';
COMMENT ON COLUMN configs.deciding IS
    'JSON object of the settings that change results, with the defaults of judges; without '
    'addresses, time limits and prices.';

CREATE TABLE prompts (
    id VARCHAR NOT NULL, text VARCHAR NOT NULL, context VARCHAR, mode VARCHAR NOT NULL,
    reference_answers VARCHAR[] NOT NULL, messages VARCHAR, few_shot VARCHAR,
    tools VARCHAR, rubric VARCHAR,
    split VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE prompts IS 'Prompts with their reference answers; split is train or holdout.';
COMMENT ON COLUMN prompts.id IS
    'Hash of text, context, mode, reference_answers, messages, few_shot, tools and rubric: the same '
    'prompt is one row.';
COMMENT ON COLUMN prompts.text IS
    'The prompt, word for word; of a conversation, the dialogue with its speakers.';
COMMENT ON COLUMN prompts.context IS
    'A text that the answer must keep to; the model reads it before the prompt. Null if there is '
    'none.';
COMMENT ON COLUMN prompts.mode IS
    'Kind of answer that the prompt wants: text_grounded, knowledge_seeking or creative. It '
    'decides which judges suit it.';
COMMENT ON COLUMN prompts.reference_answers IS
    'Answers written by people; empty if there are none.';
COMMENT ON COLUMN prompts.messages IS
    'JSON list of the messages that the model answers, each with role and content; null for a '
    'single message of the user, which is the text.';
COMMENT ON COLUMN prompts.few_shot IS
    'JSON list of worked examples: messages that the model reads before the prompt, and judges do '
    'not; null if there are none.';
COMMENT ON COLUMN prompts.tools IS
    'JSON list of the tools that the model may call; null if there are none.';
COMMENT ON COLUMN prompts.rubric IS
    'JSON list of the criteria of answers to this prompt, each with criterion and points; null if '
    'it has none of its own.';
COMMENT ON COLUMN prompts.split IS
    'train or holdout, derived from the prompt''s own words when it was first read; held-out '
    'prompts are used only for evaluation.';
COMMENT ON COLUMN prompts.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN prompts.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN prompts.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE prompt_sets (
    id VARCHAR NOT NULL, source VARCHAR NOT NULL, prompt_ids VARCHAR[] NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE prompt_sets IS 'The prompts of a source at one time: a version of the data.';
COMMENT ON COLUMN prompt_sets.id IS 'Hash of source and prompt_ids.';
COMMENT ON COLUMN prompt_sets.source IS 'Where the prompts came from, as the config names it.';
COMMENT ON COLUMN prompt_sets.prompt_ids IS 'prompts.id of its prompts.';
COMMENT ON COLUMN prompt_sets.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN prompt_sets.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN prompt_sets.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE candidates (
    id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL, model_id VARCHAR NOT NULL,
    sampling VARCHAR NOT NULL, temperature DOUBLE NOT NULL, max_new_tokens INTEGER NOT NULL,
    seed BIGINT NOT NULL, sample_index INTEGER NOT NULL, text VARCHAR NOT NULL, reasoning VARCHAR,
    token_ids INTEGER[], logprobs FLOAT[], finish_reason VARCHAR NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, latency_seconds DOUBLE NOT NULL, cost_usd DOUBLE NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE candidates IS
    'Sampled answers; log-probabilities are those of the sampled tokens, at that temperature.';
COMMENT ON COLUMN candidates.id IS 'Hash of prompt_id, model_id, sampling, seed and sample_index.';
COMMENT ON COLUMN candidates.prompt_id IS 'prompts.id of the prompt.';
COMMENT ON COLUMN candidates.model_id IS 'models.id of the model that answered.';
COMMENT ON COLUMN candidates.sampling IS
    'Hash of all settings of sampling but model and seed; batches with different settings are '
    'kept apart.';
COMMENT ON COLUMN candidates.temperature IS
    'Sampling temperature; 0 always takes the likeliest token.';
COMMENT ON COLUMN candidates.max_new_tokens IS 'Number of tokens at which an answer is cut off.';
COMMENT ON COLUMN candidates.seed IS 'Seed of the batch.';
COMMENT ON COLUMN candidates.sample_index IS
    'Place among the prompt''s answers in its batch, from 0.';
COMMENT ON COLUMN candidates.text IS
    'The answer, word for word, without the thoughts before it; empty if they never ended.';
COMMENT ON COLUMN candidates.reasoning IS
    'What the model thought before the answer; judges do not see it. Null if there was none.';
COMMENT ON COLUMN candidates.token_ids IS
    'Tokens in the model''s vocabulary; null if a remote model returned none.';
COMMENT ON COLUMN candidates.logprobs IS
    'Log-probability of each token when it was sampled, in nats, at that temperature; null if a '
    'remote model returned none.';
COMMENT ON COLUMN candidates.finish_reason IS
    'eos: the model ended the answer; length: it was cut off; thinking: it ended within its '
    'thoughts; other values are those of a remote server.';
COMMENT ON COLUMN candidates.prompt_tokens IS 'Tokens that the model read.';
COMMENT ON COLUMN candidates.completion_tokens IS 'Tokens that the model wrote.';
COMMENT ON COLUMN candidates.latency_seconds IS
    'Seconds that the model took; the answer''s share if a batch was sampled together.';
COMMENT ON COLUMN candidates.cost_usd IS
    'Price of a remote model, in US dollars; 0 for a local one.';
COMMENT ON COLUMN candidates.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN candidates.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
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
    'Responses of judges'' models, word for word, with their cost. Each request, identified by '
    'its hash, is sent once. Verdicts are read from these rows: judgements.response_ids.';
COMMENT ON COLUMN responses.id IS 'Hash of request_hash.';
COMMENT ON COLUMN responses.request_hash IS
    'Hash of model, settings and question: each request is sent once.';
COMMENT ON COLUMN responses.model IS 'Name of the model in the config.';
COMMENT ON COLUMN responses.text IS
    'The response, word for word; empty if only probabilities were read.';
COMMENT ON COLUMN responses.probabilities IS
    'JSON object with the probability, 0 to 1, of each label or alternative first token; null if '
    'none were read.';
COMMENT ON COLUMN responses.finish_reason IS
    'eos: the model ended the response; length: it was cut off; other values are those of a '
    'remote server.';
COMMENT ON COLUMN responses.prompt_tokens IS 'Tokens that the model read.';
COMMENT ON COLUMN responses.completion_tokens IS 'Tokens that the model wrote.';
COMMENT ON COLUMN responses.latency_seconds IS
    'Seconds that the model took; the response''s share if a batch was computed together.';
COMMENT ON COLUMN responses.cost_usd IS 'Price of a remote model, in US dollars.';
COMMENT ON COLUMN responses.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN responses.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
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
    'Answers that a model revised by a constitution: round 0 is its first answer, each later row '
    'revises its parent by a principle. reviser is the hash of model, constitution and prompts.';
COMMENT ON COLUMN revisions.id IS 'Hash of prompt_id, reviser and round.';
COMMENT ON COLUMN revisions.prompt_id IS 'prompts.id of the prompt.';
COMMENT ON COLUMN revisions.reviser IS
    'Hash of the model, constitution and prompts of the revision.';
COMMENT ON COLUMN revisions.model IS 'Name, in the config, of the model that wrote and revised.';
COMMENT ON COLUMN revisions.round IS '0 for the first answer, then 1, 2 …';
COMMENT ON COLUMN revisions.parent_id IS
    'revisions.id of the answer that it revises; null in round 0.';
COMMENT ON COLUMN revisions.principle IS 'Principle of the revision; null in round 0.';
COMMENT ON COLUMN revisions.critique IS 'The model''s critique of the parent; null in round 0.';
COMMENT ON COLUMN revisions.text IS 'The answer of this round, word for word.';
COMMENT ON COLUMN revisions.response_ids IS 'responses.id of the model''s responses in this round.';
COMMENT ON COLUMN revisions.cost_usd IS 'Price of this round with a remote model, in US dollars.';
COMMENT ON COLUMN revisions.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN revisions.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
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
    'Verdicts of judges, one a row: the score (0 to 1) of one candidate, or which of two is '
    'better, with the probability that it is candidate_id, which was shown first. Unparsed and '
    'unavailable verdicts are no votes. The judge proxy is the cycle''s reward model: its scores '
    'are rewards, with references around 0.';
COMMENT ON COLUMN judgements.id IS 'Hash of judge_version, candidate_id, opponent_id and attempt.';
COMMENT ON COLUMN judgements.prompt_id IS 'prompts.id of the prompt.';
COMMENT ON COLUMN judgements.judge IS
    'The judge''s name in the config; proxy for the cycle''s own reward model.';
COMMENT ON COLUMN judgements.judge_version IS
    'Kind of the judge and hash of its model, prompts and options; for proxy, models.id of the '
    'reward model.';
COMMENT ON COLUMN judgements.candidate_id IS
    'candidates.id of the answer that was judged, or of the first one of two.';
COMMENT ON COLUMN judgements.opponent_id IS
    'candidates.id of the answer shown second; null if one answer was judged alone.';
COMMENT ON COLUMN judgements.presented IS
    'alone, forward (two in the order of their sample_index) or reversed.';
COMMENT ON COLUMN judgements.outcome IS
    'scored, first, second and tie are opinions; abstains, unparsed and unavailable are not.';
COMMENT ON COLUMN judgements.score IS
    'Score of an answer judged alone, 0 to 1; for proxy in the reward model''s own unit. Null '
    'without an opinion and for comparisons.';
COMMENT ON COLUMN judgements.probability IS
    'Probability that the answer shown first is better, 0 to 1; null without an opinion and for '
    'an answer judged alone.';
COMMENT ON COLUMN judgements.raw_output IS
    'Details of the verdict for people, often JSON; null if there are none. The model''s own '
    'words are in responses.';
COMMENT ON COLUMN judgements.reason IS 'Why there is no opinion; null if there is one.';
COMMENT ON COLUMN judgements.latency_seconds IS
    'Seconds that the judge''s model took for the responses; 0 for judges without a model.';
COMMENT ON COLUMN judgements.prompt_tokens IS
    'Tokens that the judge''s model read for the responses.';
COMMENT ON COLUMN judgements.completion_tokens IS 'Tokens that the judge''s model wrote.';
COMMENT ON COLUMN judgements.cost_usd IS
    'Price of the responses, in US dollars; responses that two judgements share are counted in '
    'both.';
COMMENT ON COLUMN judgements.attempt IS
    'The run whose judge was unavailable, so that a later run judges again; empty for all other '
    'outcomes.';
COMMENT ON COLUMN judgements.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN judgements.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN judgements.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';
COMMENT ON COLUMN judgements.response_ids IS
    'responses.id of the responses that the verdict was read from; empty for judges without a '
    'model.';

CREATE TABLE rankings (
    id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL, model_id VARCHAR NOT NULL,
    seed BIGINT NOT NULL, recipe VARCHAR NOT NULL, candidate_ids VARCHAR[] NOT NULL,
    utilities DOUBLE[] NOT NULL, judgement_ids VARCHAR[] NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL,
    parts INTEGER[]
);
COMMENT ON TABLE rankings IS
    'The candidates of a prompt, best first, by the votes of all judges together.';
COMMENT ON COLUMN rankings.id IS 'Hash of recipe, candidate_ids and judgement_ids.';
COMMENT ON COLUMN rankings.prompt_id IS 'prompts.id of the prompt.';
COMMENT ON COLUMN rankings.model_id IS 'models.id of the model that sampled the candidates.';
COMMENT ON COLUMN rankings.seed IS 'Seed of the candidates'' batch.';
COMMENT ON COLUMN rankings.recipe IS
    'Hash of the combination of judges: their versions, weights and the margin of ties.';
COMMENT ON COLUMN rankings.candidate_ids IS 'candidates.id, best first.';
COMMENT ON COLUMN rankings.utilities IS
    'Utility of each candidate, in the order of candidate_ids: tanh(s / 2) of its Bradley-Terry '
    'strength s in log-odds, fitted to all comparisons; -1 to 1, 0 is average. P(one is better '
    'than another) = (1 + (u - v) / (1 - u * v)) / 2.';
COMMENT ON COLUMN rankings.judgement_ids IS 'judgements.id of the judgements that it rests on.';
COMMENT ON COLUMN rankings.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN rankings.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN rankings.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';
COMMENT ON COLUMN rankings.parts IS
    'Part of each candidate, if judges compared no candidate of one part with any of another, not '
    'even through others: the order of two parts means nothing. Null if there is one part.';

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
COMMENT ON COLUMN pairs.prompt_id IS 'prompts.id of the prompt.';
COMMENT ON COLUMN pairs.ranking_id IS 'rankings.id of the ranking that the pair is from.';
COMMENT ON COLUMN pairs.left_id IS 'candidates.id of the answer with the lower sample_index.';
COMMENT ON COLUMN pairs.right_id IS 'candidates.id of the other answer.';
COMMENT ON COLUMN pairs.outcome IS
    'preferred, tie (margin at most preferences.tie_margin, or equal answers) or unscored (no '
    'judge compared the two, whatever follows from other pairs).';
COMMENT ON COLUMN pairs.chosen_id IS 'candidates.id of the better answer; null unless preferred.';
COMMENT ON COLUMN pairs.rejected_id IS 'candidates.id of the worse answer; null unless preferred.';
COMMENT ON COLUMN pairs.margin IS
    '2 P - 1, where P is the probability, by the judges'' own comparison of the two, that the '
    'chosen answer is better, however many candidates there are; null if unscored. 0 to 1; 0 to 2 '
    'for imported pairs.';
COMMENT ON COLUMN pairs.agreement IS
    'Weighted share of the judges with an opinion that prefer the chosen answer, 0 to 1; null '
    'unless preferred.';
COMMENT ON COLUMN pairs.judgement_ids IS 'judgements.id of the judgements of the two answers.';
COMMENT ON COLUMN pairs.judge_versions IS 'judgements.judge_version of those judges.';
COMMENT ON COLUMN pairs.config_hash IS 'configs.config_hash of the run that made it first.';
COMMENT ON COLUMN pairs.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN pairs.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN pairs.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';
COMMENT ON COLUMN pairs.model_margin IS
    'Margin of left over right by the strengths of the ranking, -1 to 1; not used in training. If '
    'it contradicts the label, the votes on the prompt are intransitive: see intransitive_pairs.';

CREATE TABLE models (
    id VARCHAR NOT NULL, kind VARCHAR NOT NULL, base VARCHAR NOT NULL, parent_id VARCHAR,
    recipe VARCHAR NOT NULL, data_hash VARCHAR NOT NULL, seed BIGINT NOT NULL,
    config_hash VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE models IS
    'Every model version: its parent, recipe and data; artifacts/models/ID holds its weights.';
COMMENT ON COLUMN models.id IS
    'The kind, and the hash of kind, base, parent_id, recipe, data_hash and seed: the same '
    'training is one row.';
COMMENT ON COLUMN models.kind IS
    'base, endpoint (a remote model), external (answers of an import), sft, reward or policy.';
COMMENT ON COLUMN models.base IS 'Name or folder of the base model.';
COMMENT ON COLUMN models.parent_id IS
    'models.id of the model that it was initialised from; null for a base or endpoint.';
COMMENT ON COLUMN models.recipe IS 'JSON object of every setting of its training.';
COMMENT ON COLUMN models.data_hash IS
    'Hash of the ids of its training data; empty if the recipe determines them.';
COMMENT ON COLUMN models.seed IS 'Seed of the training.';
COMMENT ON COLUMN models.config_hash IS 'configs.config_hash of the run that made it first.';
COMMENT ON COLUMN models.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN models.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN models.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE model_inputs (
    id VARCHAR NOT NULL, model_id VARCHAR NOT NULL, input_table VARCHAR NOT NULL,
    input_id VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL,
    role VARCHAR DEFAULT 'learnt'
);
COMMENT ON TABLE model_inputs IS
    'The rows that each model rests on, one a row; it learnt from most of them.';
COMMENT ON COLUMN model_inputs.id IS
    'Hash of model and input, and of the role unless it is learnt.';
COMMENT ON COLUMN model_inputs.model_id IS 'models.id of the model that learnt.';
COMMENT ON COLUMN model_inputs.input_table IS 'Table of input_id: prompts, rankings, models …';
COMMENT ON COLUMN model_inputs.input_id IS 'Id of the row in that table.';
COMMENT ON COLUMN model_inputs.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN model_inputs.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN model_inputs.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';
COMMENT ON COLUMN model_inputs.role IS
    'learnt: the model learnt from the row; if the row is a reward model, it was trained or '
    'selected by it. For prompts: chosen_on (the checkpoint was selected by answers to the '
    'prompt), normalised_on (a reward model''s zero is the mean reward of the references of such '
    'prompts). For pairs: left_out (retracted, so the model learnt from the rest of the ranking). '
    'For models: base (the initial model), sampler (the model learnt from rankings of its '
    'answers), judge (from its verdicts), reviser (from its revisions).';

CREATE TABLE rollouts (
    id VARCHAR NOT NULL, model_id VARCHAR NOT NULL, step INTEGER NOT NULL, row INTEGER NOT NULL,
    prompt_id VARCHAR NOT NULL, text VARCHAR, score DOUBLE, kl DOUBLE NOT NULL,
    completion_tokens INTEGER NOT NULL, finish_reason VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL,
    engine VARCHAR NOT NULL, parts VARCHAR, disagreement DOUBLE, distance DOUBLE
);
COMMENT ON TABLE rollouts IS
    'Answers that a policy sampled while it was trained, with their rewards.';
COMMENT ON COLUMN rollouts.id IS 'Hash of model_id, step and row.';
COMMENT ON COLUMN rollouts.model_id IS 'models.id of the policy in training.';
COMMENT ON COLUMN rollouts.step IS 'Training step, from 1.';
COMMENT ON COLUMN rollouts.row IS 'Place of the answer in its step, from 0.';
COMMENT ON COLUMN rollouts.prompt_id IS 'prompts.id of the prompt.';
COMMENT ON COLUMN rollouts.text IS
    'The answer, word for word; null once `solon gc` has dropped it (artifact_removals).';
COMMENT ON COLUMN rollouts.score IS
    'Reward before the KL penalty, in the unit of the reward. For an answer that did not end, at '
    'most missing_eos_score and the lowest reward of the finished answers to its prompt. Null if '
    'a judge in the reward has no opinion: nothing is learnt from the answer.';
COMMENT ON COLUMN rollouts.kl IS
    'KL divergence of the policy from the reference over this answer, in nats, summed over its '
    'tokens.';
COMMENT ON COLUMN rollouts.completion_tokens IS 'Number of tokens of the answer.';
COMMENT ON COLUMN rollouts.finish_reason IS
    'eos: the policy ended the answer; length: it was cut off; thinking: it ended within its '
    'thoughts.';
COMMENT ON COLUMN rollouts.engine IS
    'Engine that sampled the answer: local, or vllm with its version (sampling.engine).';
COMMENT ON COLUMN rollouts.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN rollouts.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN rollouts.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';
COMMENT ON COLUMN rollouts.parts IS
    'JSON object with the score of the reward model and of each judge in the reward, before '
    'weights; parts without an opinion are left out.';
COMMENT ON COLUMN rollouts.disagreement IS
    'Standard deviation of the scores of the reward model''s heads; null with a single head, or '
    'where the reward model is no part of the reward.';
COMMENT ON COLUMN rollouts.distance IS
    '1 - cosine to the nearest answer, to another prompt, that the reward model learnt from, in '
    'the features that its head reads; null where no guard measures it.';

CREATE TABLE metrics (
    id VARCHAR NOT NULL, model_id VARCHAR NOT NULL, step INTEGER NOT NULL, name VARCHAR NOT NULL,
    value DOUBLE NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE metrics IS 'Training curves; deploy/docs/metrics.md defines each name.';
COMMENT ON COLUMN metrics.id IS 'Hash of model_id, step and name.';
COMMENT ON COLUMN metrics.model_id IS 'models.id of the model in training.';
COMMENT ON COLUMN metrics.step IS 'Training step, from 1.';
COMMENT ON COLUMN metrics.name IS 'Name of the figure; deploy/docs/metrics.md defines each.';
COMMENT ON COLUMN metrics.value IS 'The figure, in the unit that deploy/docs/metrics.md gives.';
COMMENT ON COLUMN metrics.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN metrics.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN metrics.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE evaluations (
    id VARCHAR NOT NULL, policy_id VARCHAR NOT NULL, baseline_id VARCHAR NOT NULL,
    judge VARCHAR NOT NULL, judge_version VARCHAR NOT NULL, role VARCHAR NOT NULL,
    settings VARCHAR NOT NULL, prompts INTEGER NOT NULL, comparisons INTEGER NOT NULL,
    unscored INTEGER NOT NULL, win_rate DOUBLE, win_rate_low DOUBLE, win_rate_high DOUBLE,
    policy_score DOUBLE, baseline_score DOUBLE, policy_tokens DOUBLE NOT NULL,
    baseline_tokens DOUBLE NOT NULL, policy_eos_rate DOUBLE NOT NULL, kl DOUBLE NOT NULL,
    tie_tolerance DOUBLE NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE evaluations IS
    'A policy against its baseline on held-out prompts, one row a judge; role says whether the '
    'judge decides, only reports, or judged the training data too.';
COMMENT ON COLUMN evaluations.id IS
    'Hash of policy_id, baseline_id, judge, judge_version and settings.';
COMMENT ON COLUMN evaluations.policy_id IS 'models.id of the policy.';
COMMENT ON COLUMN evaluations.baseline_id IS
    'models.id of the baseline: the champion, which is the policy promoted last, or the SFT model.';
COMMENT ON COLUMN evaluations.judge IS
    'The judge''s name in the config; proxy for the reward model.';
COMMENT ON COLUMN evaluations.judge_version IS 'judgements.judge_version of that judge.';
COMMENT ON COLUMN evaluations.role IS
    'decides, reports, trained_on (it also judged the training data) or proxy (the reward model).';
COMMENT ON COLUMN evaluations.settings IS
    'Hash of the settings of sampling, comparison and counting, of the prompts, of the judges in '
    'their roles, and of their verdicts.';
COMMENT ON COLUMN evaluations.prompts IS 'Prompts with at least one comparison that counts.';
COMMENT ON COLUMN evaluations.comparisons IS
    'Pairs of answers to compare, including unscored ones.';
COMMENT ON COLUMN evaluations.unscored IS 'Comparisons without an opinion of the judge.';
COMMENT ON COLUMN evaluations.win_rate IS
    'Share of comparisons that the policy won, with equal weights of prompts; ties and identical '
    'answers count one half. Null if nothing was scored.';
COMMENT ON COLUMN evaluations.win_rate_low IS
    'Lower end of the interval of win_rate over prompts, at promotion.confidence; null if '
    'win_rate is.';
COMMENT ON COLUMN evaluations.win_rate_high IS 'Upper end of that interval; null if win_rate is.';
COMMENT ON COLUMN evaluations.policy_score IS
    'Mean score of the policy''s answers, in the judge''s unit; null for judges that compare.';
COMMENT ON COLUMN evaluations.baseline_score IS
    'Mean score of the baseline''s answers; null for judges that compare.';
COMMENT ON COLUMN evaluations.policy_tokens IS 'Mean length of the policy''s answers, in tokens.';
COMMENT ON COLUMN evaluations.baseline_tokens IS
    'Mean length of the baseline''s answers, in tokens.';
COMMENT ON COLUMN evaluations.policy_eos_rate IS
    'Share of answers that the policy ended itself, 0 to 1.';
COMMENT ON COLUMN evaluations.kl IS
    'Mean KL divergence of the policy from the SFT model, in nats an answer.';
COMMENT ON COLUMN evaluations.tie_tolerance IS
    'Largest difference of two scores that counts as a tie: sqrt(2) times the judge''s deviation in '
    'judge_drifts when it was evaluated; 0 for a judge that repeats itself or compares.';
COMMENT ON COLUMN evaluations.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN evaluations.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN evaluations.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE evaluation_results (
    id VARCHAR NOT NULL, evaluation_id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL,
    sample INTEGER NOT NULL, policy_candidate_id VARCHAR NOT NULL,
    baseline_candidate_id VARCHAR NOT NULL, margin DOUBLE,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE evaluation_results IS
    'The comparisons of each evaluation: an answer of the policy and one of the baseline to the '
    'same prompt, and which of them the judge prefers.';
COMMENT ON COLUMN evaluation_results.id IS 'Hash of evaluation_id, prompt_id and sample.';
COMMENT ON COLUMN evaluation_results.evaluation_id IS 'evaluations.id.';
COMMENT ON COLUMN evaluation_results.prompt_id IS 'prompts.id of the held-out prompt.';
COMMENT ON COLUMN evaluation_results.sample IS
    'Number of the two answers among those to the prompt, from 0.';
COMMENT ON COLUMN evaluation_results.policy_candidate_id IS
    'candidates.id of the policy''s answer.';
COMMENT ON COLUMN evaluation_results.baseline_candidate_id IS
    'candidates.id of the baseline''s answer.';
COMMENT ON COLUMN evaluation_results.margin IS
    'Margin by which the judge prefers the policy''s answer, from -1 to 1; 0 for a tie, null '
    'without an opinion.';
COMMENT ON COLUMN evaluation_results.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN evaluation_results.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN evaluation_results.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE evaluation_figures (
    id VARCHAR NOT NULL, evaluation_id VARCHAR NOT NULL, metric VARCHAR NOT NULL,
    facet VARCHAR NOT NULL, n INTEGER NOT NULL, value DOUBLE NOT NULL, low DOUBLE, high DOUBLE,
    p DOUBLE,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE evaluation_figures IS
    'Figures of each evaluation beside its win rate, such as the length-controlled win rate, or '
    'the win rate in one mode; deploy/docs/metrics.md defines each.';
COMMENT ON COLUMN evaluation_figures.id IS 'Hash of evaluation_id, metric and facet.';
COMMENT ON COLUMN evaluation_figures.evaluation_id IS 'evaluations.id.';
COMMENT ON COLUMN evaluation_figures.metric IS 'Name of the figure.';
COMMENT ON COLUMN evaluation_figures.facet IS
    'Part that it is about, such as a mode; empty for the whole.';
COMMENT ON COLUMN evaluation_figures.n IS 'Number of values that it is computed from.';
COMMENT ON COLUMN evaluation_figures.value IS 'The figure.';
COMMENT ON COLUMN evaluation_figures.low IS 'Lower end of its interval; null if it has none.';
COMMENT ON COLUMN evaluation_figures.high IS 'Upper end of its interval; null if it has none.';
COMMENT ON COLUMN evaluation_figures.p IS
    'p-value of its difference from no difference, corrected for the number of facets; null if it '
    'was not tested.';
COMMENT ON COLUMN evaluation_figures.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN evaluation_figures.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN evaluation_figures.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE guard_alarms (
    id VARCHAR NOT NULL, model_id VARCHAR NOT NULL, step INTEGER NOT NULL,
    detector VARCHAR NOT NULL, value DOUBLE NOT NULL, threshold DOUBLE NOT NULL,
    kl DOUBLE NOT NULL, reward_gain DOUBLE, held_out_gain DOUBLE, action VARCHAR NOT NULL,
    reason VARCHAR NOT NULL, evidence VARCHAR[] NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE guard_alarms IS
    'Signs that a policy pleases its reward and nobody else: detectors that rose above their '
    'thresholds, in training or before promotion.';
COMMENT ON COLUMN guard_alarms.id IS 'Hash of model_id, step and detector.';
COMMENT ON COLUMN guard_alarms.model_id IS 'models.id of the policy.';
COMMENT ON COLUMN guard_alarms.step IS
    'Step of the training; 0 for the evaluation before promotion.';
COMMENT ON COLUMN guard_alarms.detector IS
    'Name of the detector; deploy/docs/metrics.md defines each.';
COMMENT ON COLUMN guard_alarms.value IS 'Value of the detector.';
COMMENT ON COLUMN guard_alarms.threshold IS
    'Its threshold, learnt from answers of the model that the training began from.';
COMMENT ON COLUMN guard_alarms.kl IS
    'Mean KL divergence of the policy from the SFT model at that step, in nats an answer.';
COMMENT ON COLUMN guard_alarms.reward_gain IS
    'Mean reward minus that of the model that the training began from, in the reward''s unit.';
COMMENT ON COLUMN guard_alarms.held_out_gain IS
    'The same difference by the held-out judge, in its unit; null without an opinion.';
COMMENT ON COLUMN guard_alarms.action IS 'Value of guard.action: stop or report.';
COMMENT ON COLUMN guard_alarms.reason IS 'The reason, in words.';
COMMENT ON COLUMN guard_alarms.evidence IS
    'rollouts.id of the answers that raised it; candidates.id before promotion.';
COMMENT ON COLUMN guard_alarms.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN guard_alarms.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN guard_alarms.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE guard_comparisons (
    id VARCHAR NOT NULL, line VARCHAR NOT NULL, cycle INTEGER NOT NULL, policy_id VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL, ranking_id VARCHAR NOT NULL, candidate_id VARCHAR NOT NULL,
    opponent_id VARCHAR NOT NULL, outcome VARCHAR NOT NULL, kept_aside BOOLEAN NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE guard_comparisons IS
    'Answers that raised alarms beside baseline answers, as the judges of the repair see them. Later '
    'reward models learn from some, and are tested on the others.';
COMMENT ON COLUMN guard_comparisons.id IS 'Hash of line, cycle and ranking_id.';
COMMENT ON COLUMN guard_comparisons.line IS 'Name of the policy line.';
COMMENT ON COLUMN guard_comparisons.cycle IS 'Number of the cycle that had them judged, from 1.';
COMMENT ON COLUMN guard_comparisons.policy_id IS
    'models.id of the policy whose training raised the alarms; it stands for the hack.';
COMMENT ON COLUMN guard_comparisons.prompt_id IS 'prompts.id of the prompt.';
COMMENT ON COLUMN guard_comparisons.ranking_id IS 'rankings.id of the ranking of the two answers.';
COMMENT ON COLUMN guard_comparisons.candidate_id IS
    'candidates.id of the answer of that training, copied from rollouts.';
COMMENT ON COLUMN guard_comparisons.opponent_id IS 'candidates.id of the baseline answer.';
COMMENT ON COLUMN guard_comparisons.outcome IS
    'worse, better or tied: what the judges say of the answer; unscored if they say nothing.';
COMMENT ON COLUMN guard_comparisons.kept_aside IS
    'True if no reward model learns from it and each is tested on it, if it is worse.';
COMMENT ON COLUMN guard_comparisons.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN guard_comparisons.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN guard_comparisons.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE guard_tests (
    id VARCHAR NOT NULL, line VARCHAR NOT NULL, cycle INTEGER NOT NULL, model_id VARCHAR NOT NULL,
    policy_id VARCHAR NOT NULL, data_hash VARCHAR NOT NULL, copies INTEGER NOT NULL,
    prompts INTEGER NOT NULL, pairs INTEGER NOT NULL, preferred DOUBLE NOT NULL,
    p DOUBLE NOT NULL, passed BOOLEAN NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE guard_tests IS
    'Each reward model of a line on each hack that was found before it, by the comparisons kept '
    'aside. One that fails trains no policy.';
COMMENT ON COLUMN guard_tests.id IS 'Hash of line, model_id, policy_id and data_hash.';
COMMENT ON COLUMN guard_tests.line IS 'Name of the policy line.';
COMMENT ON COLUMN guard_tests.cycle IS 'Number of the cycle that tested it, from 1.';
COMMENT ON COLUMN guard_tests.model_id IS 'models.id of the reward model.';
COMMENT ON COLUMN guard_tests.policy_id IS 'models.id of the policy that stands for the hack.';
COMMENT ON COLUMN guard_tests.data_hash IS 'Hash of the comparisons.';
COMMENT ON COLUMN guard_tests.copies IS
    'How often it learnt from each of the hack''s other comparisons; a failure doubles it.';
COMMENT ON COLUMN guard_tests.prompts IS 'Prompts of the comparisons.';
COMMENT ON COLUMN guard_tests.pairs IS 'Comparisons whose answer is worse and was kept aside.';
COMMENT ON COLUMN guard_tests.preferred IS
    'Share of them in which it scores the better answer higher, with equal weights of prompts; a tie '
    'counts half.';
COMMENT ON COLUMN guard_tests.p IS
    'One-sided p-value of the exact sign test over prompts that it prefers the better answers.';
COMMENT ON COLUMN guard_tests.passed IS
    'True if p is at most 0.05, or it prefers the better answer everywhere.';
COMMENT ON COLUMN guard_tests.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN guard_tests.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN guard_tests.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE reworded_verdicts (
    id VARCHAR NOT NULL, policy_id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL,
    judge VARCHAR NOT NULL, judge_version VARCHAR NOT NULL, rewording VARCHAR NOT NULL,
    side VARCHAR NOT NULL, candidate_id VARCHAR NOT NULL, opponent_id VARCHAR NOT NULL,
    score_before DOUBLE, score_after DOUBLE, opponent_score DOUBLE, turned DOUBLE, reason VARCHAR,
    response_ids VARCHAR[] NOT NULL, latency_seconds DOUBLE NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cost_usd DOUBLE NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE reworded_verdicts IS
    'Verdicts of the judges that a policy was trained on, and of the reward model, before and after '
    'a held-out answer was reworded without a change of meaning. deploy/docs/guard.md says how they '
    'are tested.';
COMMENT ON COLUMN reworded_verdicts.id IS
    'Hash of policy_id, judge_version, rewording, candidate_id and opponent_id.';
COMMENT ON COLUMN reworded_verdicts.policy_id IS 'models.id of the policy that is evaluated.';
COMMENT ON COLUMN reworded_verdicts.prompt_id IS 'prompts.id of the held-out prompt.';
COMMENT ON COLUMN reworded_verdicts.judge IS
    'Name of the judge in the config; proxy is the reward model.';
COMMENT ON COLUMN reworded_verdicts.judge_version IS
    'Kind and hash, as in judgements; models.id of the reward model.';
COMMENT ON COLUMN reworded_verdicts.rewording IS
    'whole_words, contractions, synonyms, plain_layout, closing, or order: both answers as they '
    'were, shown in the other order.';
COMMENT ON COLUMN reworded_verdicts.side IS
    'policy or baseline: whose answer was reworded; by order, whose answer is compared with one of '
    'the baseline.';
COMMENT ON COLUMN reworded_verdicts.candidate_id IS 'candidates.id of the answer that was reworded.';
COMMENT ON COLUMN reworded_verdicts.opponent_id IS
    'candidates.id of the answer that it is compared with.';
COMMENT ON COLUMN reworded_verdicts.score_before IS
    'Score of the answer as it was; of a judge that compares, its probability to be better. By '
    'order: when shown first.';
COMMENT ON COLUMN reworded_verdicts.score_after IS
    'The same after the rewording; by order: when shown second.';
COMMENT ON COLUMN reworded_verdicts.opponent_score IS
    'Score of the other answer; null of a judge that compares.';
COMMENT ON COLUMN reworded_verdicts.turned IS
    '1 if the winner changed, 0.5 from or to a tie, else 0; null without both verdicts.';
COMMENT ON COLUMN reworded_verdicts.reason IS 'Why there is no verdict after the rewording.';
COMMENT ON COLUMN reworded_verdicts.response_ids IS 'responses.id of the model''s responses.';
COMMENT ON COLUMN reworded_verdicts.latency_seconds IS 'Seconds from request to answer.';
COMMENT ON COLUMN reworded_verdicts.prompt_tokens IS 'Tokens that the judge''s model read.';
COMMENT ON COLUMN reworded_verdicts.completion_tokens IS 'Tokens that the judge''s model wrote.';
COMMENT ON COLUMN reworded_verdicts.cost_usd IS 'Price of the responses, in US dollars.';
COMMENT ON COLUMN reworded_verdicts.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN reworded_verdicts.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN reworded_verdicts.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE benchmark_items (
    id VARCHAR NOT NULL, model_id VARCHAR NOT NULL, benchmark VARCHAR NOT NULL,
    benchmark_version VARCHAR NOT NULL, item VARCHAR NOT NULL, part VARCHAR NOT NULL,
    "cluster" VARCHAR NOT NULL, metric VARCHAR NOT NULL, value DOUBLE NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE benchmark_items IS
    'Results of models on the items of the benchmarks of evaluation.benchmarks.';
COMMENT ON COLUMN benchmark_items.id IS 'Hash of model_id, benchmark_version, item and metric.';
COMMENT ON COLUMN benchmark_items.model_id IS 'models.id of the model.';
COMMENT ON COLUMN benchmark_items.benchmark IS 'Name of the benchmark in the config.';
COMMENT ON COLUMN benchmark_items.benchmark_version IS
    'Hash of its items and settings, and of the code that measures it.';
COMMENT ON COLUMN benchmark_items.item IS 'Name of the item in the benchmark.';
COMMENT ON COLUMN benchmark_items.part IS
    'Part of the benchmark: a kind of bias, or a task of lm-evaluation-harness.';
COMMENT ON COLUMN benchmark_items."cluster" IS
    'Items with the same cluster are not independent of each other.';
COMMENT ON COLUMN benchmark_items.metric IS
    'Name of the metric; deploy/docs/metrics.md defines those of bias.';
COMMENT ON COLUMN benchmark_items.value IS 'The result.';
COMMENT ON COLUMN benchmark_items.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN benchmark_items.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN benchmark_items.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE benchmark_figures (
    id VARCHAR NOT NULL, model_id VARCHAR NOT NULL, against_id VARCHAR NOT NULL,
    benchmark VARCHAR NOT NULL, benchmark_version VARCHAR NOT NULL, metric VARCHAR NOT NULL,
    part VARCHAR NOT NULL, n INTEGER NOT NULL, value DOUBLE NOT NULL, low DOUBLE NOT NULL,
    high DOUBLE NOT NULL, against_value DOUBLE NOT NULL, against_low DOUBLE NOT NULL,
    against_high DOUBLE NOT NULL, difference DOUBLE NOT NULL, difference_low DOUBLE NOT NULL,
    difference_high DOUBLE NOT NULL, p DOUBLE NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE benchmark_figures IS
    'Policies on benchmarks beside an earlier model: what training gained or lost.';
COMMENT ON COLUMN benchmark_figures.id IS
    'Hash of model_id, against_id, benchmark_version, metric and part.';
COMMENT ON COLUMN benchmark_figures.model_id IS 'models.id of the policy.';
COMMENT ON COLUMN benchmark_figures.against_id IS
    'models.id of the SFT model, or of the baseline of the evaluation.';
COMMENT ON COLUMN benchmark_figures.benchmark IS 'Name of the benchmark in the config.';
COMMENT ON COLUMN benchmark_figures.benchmark_version IS 'benchmark_items.benchmark_version.';
COMMENT ON COLUMN benchmark_figures.metric IS 'benchmark_items.metric.';
COMMENT ON COLUMN benchmark_figures.part IS 'benchmark_items.part; empty for all parts together.';
COMMENT ON COLUMN benchmark_figures.n IS 'Number of items with a result of the policy.';
COMMENT ON COLUMN benchmark_figures.value IS 'Mean result of the policy.';
COMMENT ON COLUMN benchmark_figures.low IS 'Lower end of its interval.';
COMMENT ON COLUMN benchmark_figures.high IS 'Upper end of its interval.';
COMMENT ON COLUMN benchmark_figures.against_value IS 'Mean result of the other model.';
COMMENT ON COLUMN benchmark_figures.against_low IS 'Lower end of its interval.';
COMMENT ON COLUMN benchmark_figures.against_high IS 'Upper end of its interval.';
COMMENT ON COLUMN benchmark_figures.difference IS
    'Mean difference, policy minus other, on the items that both have a result for.';
COMMENT ON COLUMN benchmark_figures.difference_low IS 'Lower end of its interval.';
COMMENT ON COLUMN benchmark_figures.difference_high IS 'Upper end of its interval.';
COMMENT ON COLUMN benchmark_figures.p IS
    'p-value of no difference, corrected for all metrics of the benchmark (Holm).';
COMMENT ON COLUMN benchmark_figures.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN benchmark_figures.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN benchmark_figures.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE promotions (
    id VARCHAR NOT NULL, config_hash VARCHAR NOT NULL, cycle INTEGER NOT NULL,
    policy_id VARCHAR NOT NULL, baseline_id VARCHAR NOT NULL, evaluation_id VARCHAR NOT NULL,
    promoted BOOLEAN NOT NULL, reasons VARCHAR[] NOT NULL,
    error_rate DOUBLE, win_rate_bound DOUBLE,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL,
    line VARCHAR DEFAULT ''
);
COMMENT ON TABLE promotions IS 'The decision of each cycle: promoted or refused, and why.';
COMMENT ON COLUMN promotions.id IS 'Hash of line and cycle.';
COMMENT ON COLUMN promotions.config_hash IS 'configs.config_hash of the run.';
COMMENT ON COLUMN promotions.cycle IS 'Number of the cycle, from 1.';
COMMENT ON COLUMN promotions.policy_id IS 'models.id of the policy.';
COMMENT ON COLUMN promotions.baseline_id IS 'models.id of the baseline.';
COMMENT ON COLUMN promotions.evaluation_id IS 'evaluations.id of the evaluation that decided.';
COMMENT ON COLUMN promotions.promoted IS 'True if the policy was promoted.';
COMMENT ON COLUMN promotions.reasons IS 'The reasons for the decision, in words.';
COMMENT ON COLUMN promotions.error_rate IS
    'Bound of the chance that this decision promotes a policy that is no better: its share of what '
    'the held-out prompts may spend.';
COMMENT ON COLUMN promotions.win_rate_bound IS
    'Lower bound of the win rate at that error rate, which must lie above '
    'promotion.win_rate_above; null if nothing was scored.';
COMMENT ON COLUMN promotions.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN promotions.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN promotions.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';
COMMENT ON COLUMN promotions.line IS 'Name of the policy line.';

CREATE TABLE reward_comparisons (
    id VARCHAR NOT NULL, line VARCHAR NOT NULL, cycle INTEGER NOT NULL, model_id VARCHAR NOT NULL,
    baseline_id VARCHAR, rule VARCHAR NOT NULL, prompts INTEGER NOT NULL, pairs INTEGER NOT NULL,
    accuracy DOUBLE, accuracy_low DOUBLE, accuracy_high DOUBLE, baseline_accuracy DOUBLE,
    baseline_accuracy_low DOUBLE, baseline_accuracy_high DOUBLE, p_worse DOUBLE, p_better DOUBLE,
    accepted BOOLEAN NOT NULL, reason VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE reward_comparisons IS
    'Each reward model of a line against the last accepted one, on pairs that both held out; only '
    'accepted ones train policies.';
COMMENT ON COLUMN reward_comparisons.id IS 'Hash of line and model_id.';
COMMENT ON COLUMN reward_comparisons.line IS 'Name of the policy line.';
COMMENT ON COLUMN reward_comparisons.cycle IS 'Number of the cycle that trained it, from 1.';
COMMENT ON COLUMN reward_comparisons.model_id IS 'models.id of the reward model.';
COMMENT ON COLUMN reward_comparisons.baseline_id IS
    'models.id of the last accepted reward model; null if there was none to compare with.';
COMMENT ON COLUMN reward_comparisons.rule IS 'Value of reward_model.must_beat.';
COMMENT ON COLUMN reward_comparisons.prompts IS 'Prompts whose pairs neither of the two learnt from.';
COMMENT ON COLUMN reward_comparisons.pairs IS 'Pairs of those prompts that prefer an answer.';
COMMENT ON COLUMN reward_comparisons.accuracy IS
    'Share of those pairs in whose order the reward model scores, with equal weights of prompts; '
    'null without a comparison.';
COMMENT ON COLUMN reward_comparisons.accuracy_low IS
    'Lower end of its 95 % interval over prompts.';
COMMENT ON COLUMN reward_comparisons.accuracy_high IS 'Upper end of that interval.';
COMMENT ON COLUMN reward_comparisons.baseline_accuracy IS
    'The same share for the last accepted reward model.';
COMMENT ON COLUMN reward_comparisons.baseline_accuracy_low IS
    'Lower end of its 95 % interval over prompts.';
COMMENT ON COLUMN reward_comparisons.baseline_accuracy_high IS 'Upper end of that interval.';
COMMENT ON COLUMN reward_comparisons.p_worse IS
    'Chance of a difference at least as bad for the new model if the two were exchangeable, by '
    'swapping them at random within prompts.';
COMMENT ON COLUMN reward_comparisons.p_better IS 'The same for a difference at least as good.';
COMMENT ON COLUMN reward_comparisons.accepted IS 'True if it may train policies.';
COMMENT ON COLUMN reward_comparisons.reason IS 'The reason, in words.';
COMMENT ON COLUMN reward_comparisons.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN reward_comparisons.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN reward_comparisons.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE approval_requests (
    id VARCHAR NOT NULL, line VARCHAR NOT NULL, config_hash VARCHAR NOT NULL,
    cycle INTEGER NOT NULL, policy_id VARCHAR NOT NULL, baseline_id VARCHAR NOT NULL,
    evaluation_id VARCHAR NOT NULL, reasons VARCHAR[] NOT NULL,
    error_rate DOUBLE, win_rate_bound DOUBLE,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE approval_requests IS
    'Policies that met the conditions of promotion where promotion.approval is manual; '
    'open_approvals lists those that still wait.';
COMMENT ON COLUMN approval_requests.id IS 'Hash of line, cycle and evaluation_id.';
COMMENT ON COLUMN approval_requests.line IS 'Name of the policy line.';
COMMENT ON COLUMN approval_requests.config_hash IS 'configs.config_hash of the run.';
COMMENT ON COLUMN approval_requests.cycle IS 'Number of the cycle, from 1.';
COMMENT ON COLUMN approval_requests.policy_id IS 'models.id of the policy.';
COMMENT ON COLUMN approval_requests.baseline_id IS 'models.id of the baseline.';
COMMENT ON COLUMN approval_requests.evaluation_id IS
    'evaluations.id of the evaluation that decided.';
COMMENT ON COLUMN approval_requests.reasons IS 'The reasons for its promotion, in words.';
COMMENT ON COLUMN approval_requests.error_rate IS 'promotions.error_rate of its promotion.';
COMMENT ON COLUMN approval_requests.win_rate_bound IS
    'promotions.win_rate_bound of its promotion.';
COMMENT ON COLUMN approval_requests.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN approval_requests.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN approval_requests.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE approvals (
    id VARCHAR NOT NULL, line VARCHAR NOT NULL, cycle INTEGER NOT NULL, policy_id VARCHAR NOT NULL,
    approved BOOLEAN NOT NULL, decided_by VARCHAR NOT NULL, reason VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE approvals IS
    'What people decided about policies that met the conditions of promotion.';
COMMENT ON COLUMN approvals.id IS 'Hash of line, cycle and policy_id.';
COMMENT ON COLUMN approvals.line IS 'Name of the policy line.';
COMMENT ON COLUMN approvals.cycle IS 'Number of the cycle, from 1.';
COMMENT ON COLUMN approvals.policy_id IS 'models.id of the policy.';
COMMENT ON COLUMN approvals.approved IS 'True if the policy is to be promoted.';
COMMENT ON COLUMN approvals.decided_by IS 'Name of the person who decided.';
COMMENT ON COLUMN approvals.reason IS 'Reason, in the words of the person who decided.';
COMMENT ON COLUMN approvals.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN approvals.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN approvals.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE rollbacks (
    id VARCHAR NOT NULL, line VARCHAR NOT NULL, number INTEGER NOT NULL,
    after_cycle INTEGER NOT NULL, from_id VARCHAR NOT NULL, to_id VARCHAR NOT NULL,
    to_cycle INTEGER NOT NULL, decided_by VARCHAR NOT NULL, reason VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE rollbacks IS
    'Decisions that make an earlier policy of a line its champion again, or the SFT model. The '
    'promotions in between are withdrawn; standing_promotions lists those that stand.';
COMMENT ON COLUMN rollbacks.id IS 'Hash of line and number.';
COMMENT ON COLUMN rollbacks.line IS 'Name of the policy line.';
COMMENT ON COLUMN rollbacks.number IS 'Number of the rollback in its line, from 1.';
COMMENT ON COLUMN rollbacks.after_cycle IS
    'The last cycle of the line that had been decided; 0 if there was none. Promotions of later '
    'cycles are not withdrawn.';
COMMENT ON COLUMN rollbacks.from_id IS 'models.id of the champion that was withdrawn.';
COMMENT ON COLUMN rollbacks.to_id IS 'models.id of the champion since then.';
COMMENT ON COLUMN rollbacks.to_cycle IS 'Cycle that promoted to_id; 0 for an SFT model.';
COMMENT ON COLUMN rollbacks.decided_by IS 'Name of the person who decided.';
COMMENT ON COLUMN rollbacks.reason IS 'Reason, in the words of the person who decided.';
COMMENT ON COLUMN rollbacks.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN rollbacks.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN rollbacks.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE publications (
    id VARCHAR NOT NULL, line VARCHAR NOT NULL, target VARCHAR NOT NULL, model_id VARCHAR NOT NULL,
    change_id VARCHAR NOT NULL, attempt VARCHAR NOT NULL, published BOOLEAN NOT NULL,
    detail VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE publications IS
    'Attempts to publish champions (service.publish); what failed is tried again at the next run '
    'of the promote stage.';
COMMENT ON COLUMN publications.id IS 'Hash of change_id, target and attempt.';
COMMENT ON COLUMN publications.line IS 'Name of the policy line.';
COMMENT ON COLUMN publications.target IS
    'Kind of the target and its name; for an address, a hash of it.';
COMMENT ON COLUMN publications.model_id IS 'models.id of the champion.';
COMMENT ON COLUMN publications.change_id IS
    'promotions.id or rollbacks.id of the decision that made it the champion.';
COMMENT ON COLUMN publications.attempt IS 'The run that tried.';
COMMENT ON COLUMN publications.published IS 'True if the target took it.';
COMMENT ON COLUMN publications.detail IS 'What was done or went wrong, in words.';
COMMENT ON COLUMN publications.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN publications.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN publications.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE cycle_runs (
    id VARCHAR NOT NULL, line VARCHAR NOT NULL, cycle INTEGER NOT NULL,
    config_hash VARCHAR NOT NULL, source VARCHAR NOT NULL, attempt VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE cycle_runs IS
    'Runs of cycles, with the line, cycle and config of each run_id. A cycle that was resumed has '
    'several.';
COMMENT ON COLUMN cycle_runs.id IS 'Hash of line, cycle and attempt.';
COMMENT ON COLUMN cycle_runs.line IS 'Name of the policy line.';
COMMENT ON COLUMN cycle_runs.cycle IS 'Number of the cycle, from 1.';
COMMENT ON COLUMN cycle_runs.config_hash IS 'configs.config_hash of the run.';
COMMENT ON COLUMN cycle_runs.source IS 'Path of the config file; empty if there was none.';
COMMENT ON COLUMN cycle_runs.attempt IS 'The run''s id, as in run_id.';
COMMENT ON COLUMN cycle_runs.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN cycle_runs.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN cycle_runs.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE stage_runs (
    id VARCHAR NOT NULL, config_hash VARCHAR NOT NULL, cycle INTEGER NOT NULL,
    stage VARCHAR NOT NULL, seconds DOUBLE NOT NULL, detail VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL,
    line VARCHAR DEFAULT '', number INTEGER NOT NULL, result VARCHAR NOT NULL
);
COMMENT ON TABLE stage_runs IS
    'Each completed stage of each cycle, once for each result that it came to.';
COMMENT ON COLUMN stage_runs.id IS 'Hash of line, config_hash, cycle, stage and number.';
COMMENT ON COLUMN stage_runs.config_hash IS 'configs.config_hash of the run.';
COMMENT ON COLUMN stage_runs.cycle IS 'Number of the cycle, from 1.';
COMMENT ON COLUMN stage_runs.stage IS 'Name of the stage, as in the README''s table.';
COMMENT ON COLUMN stage_runs.number IS
    'From 1. A rerun that came to another result, as with new prompts, has the next number; the '
    'last one counts.';
COMMENT ON COLUMN stage_runs.result IS 'JSON object of the ids that later stages start from.';
COMMENT ON COLUMN stage_runs.seconds IS 'Seconds that it took when it first came to this result.';
COMMENT ON COLUMN stage_runs.detail IS
    'JSON object of the counts, names and reasons of its result.';
COMMENT ON COLUMN stage_runs.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN stage_runs.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN stage_runs.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';
COMMENT ON COLUMN stage_runs.line IS 'Name of the policy line.';

CREATE TABLE trigger_firings (
    id VARCHAR NOT NULL, line VARCHAR NOT NULL, condition VARCHAR NOT NULL, since VARCHAR NOT NULL,
    multiple INTEGER NOT NULL, value DOUBLE NOT NULL, threshold DOUBLE NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE trigger_firings IS
    'Conditions of service.triggers that held and started work, once for each multiple of the '
    'threshold.';
COMMENT ON COLUMN trigger_firings.id IS 'Hash of line, condition, since and multiple.';
COMMENT ON COLUMN trigger_firings.line IS 'Name of the policy line.';
COMMENT ON COLUMN trigger_firings.condition IS
    'The setting of service.triggers: new_pairs, agreement_below, new_prompts or at_latest_hours.';
COMMENT ON COLUMN trigger_firings.since IS
    'models.id of the reward model, or prompt_sets.id of the prompts, that value counts from; '
    'empty if there was none.';
COMMENT ON COLUMN trigger_firings.multiple IS 'How many times over the condition held, from 1.';
COMMENT ON COLUMN trigger_firings.value IS
    'Number of new pairs or prompts, the agreement, or the hours since.';
COMMENT ON COLUMN trigger_firings.threshold IS 'Value of the setting.';
COMMENT ON COLUMN trigger_firings.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN trigger_firings.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN trigger_firings.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE failures (
    id VARCHAR NOT NULL, stage VARCHAR NOT NULL, subject_id VARCHAR NOT NULL,
    reason VARCHAR NOT NULL, attempt VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE failures IS 'Work that failed, and why; the next run retries it.';
COMMENT ON COLUMN failures.id IS 'Hash of stage, subject_id and attempt.';
COMMENT ON COLUMN failures.stage IS 'The stage that failed.';
COMMENT ON COLUMN failures.subject_id IS
    'prompts.id of the prompt that failed in sample or revise; the name of the line if the stage '
    'failed as a whole.';
COMMENT ON COLUMN failures.reason IS 'What went wrong, in words.';
COMMENT ON COLUMN failures.attempt IS
    'The run that failed; a later one may have completed the work.';
COMMENT ON COLUMN failures.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN failures.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN failures.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE quarantines (
    id VARCHAR NOT NULL, stage VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL,
    judge_version VARCHAR NOT NULL, number INTEGER NOT NULL, failures INTEGER NOT NULL,
    is_lifted BOOLEAN NOT NULL, reason VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE quarantines IS
    'Decisions that a stage leaves out a prompt on which it failed again and again, or lifts that; '
    'the one with the highest number counts. `quarantined` lists what is left out now.';
COMMENT ON COLUMN quarantines.id IS 'Hash of stage, prompt_id, judge_version and number.';
COMMENT ON COLUMN quarantines.stage IS 'sample, revise or judge.';
COMMENT ON COLUMN quarantines.prompt_id IS 'prompts.id.';
COMMENT ON COLUMN quarantines.judge_version IS
    'The judge that failed on it; empty in other stages than judge.';
COMMENT ON COLUMN quarantines.number IS
    'Number of the decision about this stage, prompt and judge, from 1.';
COMMENT ON COLUMN quarantines.failures IS
    'Runs in a row in which the stage failed on the prompt; 0 if the quarantine is lifted.';
COMMENT ON COLUMN quarantines.is_lifted IS 'True if this decision lifts the one before.';
COMMENT ON COLUMN quarantines.reason IS
    'Reason of the last failure, or why the quarantine is lifted.';
COMMENT ON COLUMN quarantines.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN quarantines.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN quarantines.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE retractions (
    id VARCHAR NOT NULL, subject_table VARCHAR NOT NULL, subject_id VARCHAR NOT NULL,
    number INTEGER NOT NULL, withdrawn BOOLEAN NOT NULL, reason VARCHAR NOT NULL,
    retracted_by VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE retractions IS
    'Decisions to retract a fact, or to withdraw a retraction; the one with the highest number of '
    'each subject counts. The fact itself stays; `retracted` lists what is retracted now.';
COMMENT ON COLUMN retractions.id IS 'Hash of subject_table, subject_id and number.';
COMMENT ON COLUMN retractions.subject_table IS
    'judgements, judge_versions, pairs, candidates or prompts; judge_versions means all '
    'judgements of that version.';
COMMENT ON COLUMN retractions.subject_id IS 'Id of the retracted row, or the judge version.';
COMMENT ON COLUMN retractions.number IS 'Number of the decision about this subject, from 1.';
COMMENT ON COLUMN retractions.withdrawn IS 'True if this decision withdraws the one before.';
COMMENT ON COLUMN retractions.reason IS 'Reason, in the words of the person who decided.';
COMMENT ON COLUMN retractions.retracted_by IS 'Name of the person who decided.';
COMMENT ON COLUMN retractions.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN retractions.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN retractions.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE judge_benchmarks (
    id VARCHAR NOT NULL, benchmark VARCHAR NOT NULL, judge VARCHAR NOT NULL,
    judge_version VARCHAR NOT NULL, data VARCHAR NOT NULL, items_hash VARCHAR NOT NULL,
    metric VARCHAR NOT NULL, facet VARCHAR NOT NULL, n INTEGER NOT NULL, value DOUBLE NOT NULL,
    low DOUBLE, high DOUBLE,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE judge_benchmarks IS
    'Figures of judges on labelled answers, with intervals; deploy/docs/metrics.md defines each '
    'metric. facet is a subset, another judge or an attack; empty for the whole. Compare only '
    'rows with the same items_hash.';
COMMENT ON COLUMN judge_benchmarks.id IS
    'Hash of benchmark, judge, items_hash, data, metric and facet.';
COMMENT ON COLUMN judge_benchmarks.benchmark IS
    'Id that all rows of one benchmark run of a panel share.';
COMMENT ON COLUMN judge_benchmarks.judge IS
    'The judge''s name in the config; `longer wins` for what length alone explains; `all judges` '
    'for figures of all together.';
COMMENT ON COLUMN judge_benchmarks.judge_version IS
    'judgements.judge_version of that judge; empty for longer wins and all judges.';
COMMENT ON COLUMN judge_benchmarks.data IS 'The file of labelled answers.';
COMMENT ON COLUMN judge_benchmarks.items_hash IS 'Hash of the labelled answers themselves.';
COMMENT ON COLUMN judge_benchmarks.metric IS
    'Name of the figure; deploy/docs/metrics.md defines each.';
COMMENT ON COLUMN judge_benchmarks.facet IS
    'Part that the figure is about: a subset, another judge or an attack; empty for the whole.';
COMMENT ON COLUMN judge_benchmarks.n IS 'Number of cases.';
COMMENT ON COLUMN judge_benchmarks.value IS
    'The figure, in the unit that deploy/docs/metrics.md gives.';
COMMENT ON COLUMN judge_benchmarks.low IS 'Lower end of the 95 % interval; null if there is none.';
COMMENT ON COLUMN judge_benchmarks.high IS 'Upper end of the 95 % interval; null if there is none.';
COMMENT ON COLUMN judge_benchmarks.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN judge_benchmarks.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN judge_benchmarks.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE judge_models (
    id VARCHAR NOT NULL, judge_version VARCHAR NOT NULL, model_id VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE judge_models IS
    'Judges whose model is one of this store: what that model rests on is behind their verdicts.';
COMMENT ON COLUMN judge_models.id IS 'Hash of judge version and model.';
COMMENT ON COLUMN judge_models.judge_version IS 'judgements.judge_version of the judge.';
COMMENT ON COLUMN judge_models.model_id IS
    'models.id of its model; a jury has a row for each model.';
COMMENT ON COLUMN judge_models.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN judge_models.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN judge_models.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE judge_probes (
    id VARCHAR NOT NULL, line VARCHAR NOT NULL, cycle INTEGER NOT NULL, judge VARCHAR NOT NULL,
    judge_version VARCHAR NOT NULL, judgement_id VARCHAR NOT NULL, outcome VARCHAR NOT NULL,
    score DOUBLE, probability DOUBLE, reason VARCHAR, response_ids VARCHAR[] NOT NULL,
    latency_seconds DOUBLE NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, cost_usd DOUBLE NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE judge_probes IS
    'Later verdicts of judges on questions that they have answered before (judging.probes). They '
    'are compared with the first ones and are never votes.';
COMMENT ON COLUMN judge_probes.id IS 'Hash of line, cycle and judgement_id.';
COMMENT ON COLUMN judge_probes.line IS 'Name of the policy line.';
COMMENT ON COLUMN judge_probes.cycle IS 'Number of the cycle, from 1.';
COMMENT ON COLUMN judge_probes.judge IS 'The judge''s name in the config.';
COMMENT ON COLUMN judge_probes.judge_version IS 'judgements.judge_version of the judge.';
COMMENT ON COLUMN judge_probes.judgement_id IS
    'judgements.id of the first verdict on the question.';
COMMENT ON COLUMN judge_probes.outcome IS 'The verdict, as judgements.outcome.';
COMMENT ON COLUMN judge_probes.score IS 'Score of an answer, 0 to 1; null for two answers.';
COMMENT ON COLUMN judge_probes.probability IS
    'Probability that the answer shown first is better; null for one answer.';
COMMENT ON COLUMN judge_probes.reason IS 'Reason why there is no verdict.';
COMMENT ON COLUMN judge_probes.response_ids IS 'responses.id of the model''s words.';
COMMENT ON COLUMN judge_probes.latency_seconds IS 'Time that the replies took.';
COMMENT ON COLUMN judge_probes.prompt_tokens IS 'Tokens that the model read.';
COMMENT ON COLUMN judge_probes.completion_tokens IS 'Tokens that the model wrote.';
COMMENT ON COLUMN judge_probes.cost_usd IS 'Price of the replies, in US dollars.';
COMMENT ON COLUMN judge_probes.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN judge_probes.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN judge_probes.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE judge_drifts (
    id VARCHAR NOT NULL, line VARCHAR NOT NULL, cycle INTEGER NOT NULL, judge VARCHAR NOT NULL,
    judge_version VARCHAR NOT NULL, probes INTEGER NOT NULL, unavailable INTEGER NOT NULL,
    noise DOUBLE, deviation DOUBLE, distance DOUBLE, shift DOUBLE, p DOUBLE,
    drifted BOOLEAN NOT NULL, reason VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE judge_drifts IS
    'How far the verdicts of each remote judge on its probes moved until a cycle, beside its own '
    'noise; deploy/docs/metrics.md defines each figure.';
COMMENT ON COLUMN judge_drifts.id IS 'Hash of line, cycle and judge_version.';
COMMENT ON COLUMN judge_drifts.line IS 'Name of the policy line.';
COMMENT ON COLUMN judge_drifts.cycle IS 'Number of the cycle, from 1.';
COMMENT ON COLUMN judge_drifts.judge IS 'The judge''s name in the config.';
COMMENT ON COLUMN judge_drifts.judge_version IS 'judgements.judge_version of the judge.';
COMMENT ON COLUMN judge_drifts.probes IS 'Probes that the judge answered in this cycle.';
COMMENT ON COLUMN judge_drifts.unavailable IS 'Probes that it did not answer.';
COMMENT ON COLUMN judge_drifts.noise IS
    'Mean distance between the first verdict on a probe and its first repeat, 0 to 1.';
COMMENT ON COLUMN judge_drifts.deviation IS
    'Standard deviation of one verdict about the judge''s mean on a question, from those repeats; '
    'null if no probe had an opinion twice.';
COMMENT ON COLUMN judge_drifts.distance IS
    'Mean distance of this cycle''s verdicts from the first and their first repeats, 0 to 1; null '
    'in the cycle of the first repeats.';
COMMENT ON COLUMN judge_drifts.shift IS
    'Mean score, or probability of the answer shown first, minus that of the earlier two.';
COMMENT ON COLUMN judge_drifts.p IS
    'p-value of no change, corrected for the number of judges; null in the cycle of the first '
    'repeats.';
COMMENT ON COLUMN judge_drifts.drifted IS 'True if p is at most 0.01.';
COMMENT ON COLUMN judge_drifts.reason IS 'The finding, in words.';
COMMENT ON COLUMN judge_drifts.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN judge_drifts.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN judge_drifts.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE rollout_verdicts (
    id VARCHAR NOT NULL, model_id VARCHAR NOT NULL, rollout_id VARCHAR NOT NULL,
    judge VARCHAR NOT NULL, judge_version VARCHAR NOT NULL, role VARCHAR NOT NULL,
    opponent_id VARCHAR, presented VARCHAR NOT NULL, outcome VARCHAR NOT NULL, score DOUBLE,
    raw_output VARCHAR, reason VARCHAR, response_ids VARCHAR[] NOT NULL,
    latency_seconds DOUBLE NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, cost_usd DOUBLE NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE rollout_verdicts IS
    'Verdicts of the judges inside the reward, and of the guard''s judge, on the answers that a '
    'policy sampled while it trained. A judge has no row for prompts of modes that it does not '
    'judge.';
COMMENT ON COLUMN rollout_verdicts.id IS
    'Hash of rollout and judge version; of opponent and order too, if there is an opponent.';
COMMENT ON COLUMN rollout_verdicts.model_id IS 'models.id of the policy.';
COMMENT ON COLUMN rollout_verdicts.rollout_id IS 'rollouts.id of the answer.';
COMMENT ON COLUMN rollout_verdicts.judge IS
    'The judge''s name in the config, and in rollouts.parts.';
COMMENT ON COLUMN rollout_verdicts.judge_version IS 'Kind and hash, as in judgements.';
COMMENT ON COLUMN rollout_verdicts.role IS
    'reward: the judge is part of the reward. guard: it took no part in the training.';
COMMENT ON COLUMN rollout_verdicts.opponent_id IS
    'candidates.id of the answer that the guard''s judge compared it with; null if it was judged '
    'alone.';
COMMENT ON COLUMN rollout_verdicts.presented IS
    'alone, forward (the policy''s answer was shown first) or reversed.';
COMMENT ON COLUMN rollout_verdicts.outcome IS
    'scored, first, second, tie, abstains, unparsed or unavailable; an answer without a score has '
    'no reward.';
COMMENT ON COLUMN rollout_verdicts.score IS
    'Score before its weight, 0 to 1, or the probability of being better than the opponent; null '
    'without an opinion.';
COMMENT ON COLUMN rollout_verdicts.raw_output IS 'Details of the verdict, for people.';
COMMENT ON COLUMN rollout_verdicts.reason IS 'Why there is no score.';
COMMENT ON COLUMN rollout_verdicts.response_ids IS 'responses.id of the model''s responses.';
COMMENT ON COLUMN rollout_verdicts.latency_seconds IS 'Seconds from request to answer.';
COMMENT ON COLUMN rollout_verdicts.prompt_tokens IS 'Tokens that the judge''s model read.';
COMMENT ON COLUMN rollout_verdicts.completion_tokens IS 'Tokens that the judge''s model wrote.';
COMMENT ON COLUMN rollout_verdicts.cost_usd IS 'Price of the responses, in US dollars.';
COMMENT ON COLUMN rollout_verdicts.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN rollout_verdicts.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN rollout_verdicts.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE imports (
    id VARCHAR NOT NULL, source VARCHAR NOT NULL, form VARCHAR NOT NULL,
    judge_version VARCHAR NOT NULL, model_id VARCHAR NOT NULL, config_hash VARCHAR NOT NULL,
    rows INTEGER NOT NULL, left_out INTEGER NOT NULL, bad INTEGER NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE imports IS
    'Files of preferences that were imported completely; an interrupted import has no row.';
COMMENT ON COLUMN imports.id IS 'Content hash of judge_version.';
COMMENT ON COLUMN imports.source IS
    'Name given at import, which preferences.imported in a config refers to.';
COMMENT ON COLUMN imports.form IS 'preference, ranking, sft or kto.';
COMMENT ON COLUMN imports.judge_version IS
    'Judge version of the file''s labels: external- and a hash of source, rows and the prompts '
    'that hygiene left out.';
COMMENT ON COLUMN imports.model_id IS
    'models.id of the model, of kind external, that its answers are attributed to.';
COMMENT ON COLUMN imports.config_hash IS
    'configs.config_hash of its pairs; the row of configs holds its settings.';
COMMENT ON COLUMN imports.rows IS 'Number of distinct rows that were kept.';
COMMENT ON COLUMN imports.left_out IS
    'Number of rows left out: equal answers or scores, repetitions, exports of this store itself, '
    'personal data (policy drop), repeated prompts, prompts that a user had deleted.';
COMMENT ON COLUMN imports.bad IS 'Number of rows that could not be read, under --skip-bad.';
COMMENT ON COLUMN imports.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN imports.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN imports.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE imported_rows (
    id VARCHAR NOT NULL, import_id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL,
    subject_table VARCHAR NOT NULL, subject_id VARCHAR NOT NULL, part INTEGER NOT NULL,
    place VARCHAR NOT NULL, is_conversation BOOLEAN NOT NULL, messages VARCHAR,
    columns VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE imported_rows IS
    'Each imported row: the fact that it became, its place in the file, and its other columns.';
COMMENT ON COLUMN imported_rows.id IS 'Content hash of import, subject and part.';
COMMENT ON COLUMN imported_rows.import_id IS 'imports.id of the import.';
COMMENT ON COLUMN imported_rows.prompt_id IS 'prompts.id of the prompt.';
COMMENT ON COLUMN imported_rows.subject_table IS
    'Table of the fact that it became: pairs, rankings, prompts (sft) or judgements (kto: the '
    'label; pairs are made of different labels of one prompt).';
COMMENT ON COLUMN imported_rows.subject_id IS 'Id of the fact in that table.';
COMMENT ON COLUMN imported_rows.part IS 'For sft, place of the reference answer, from 0; else 0.';
COMMENT ON COLUMN imported_rows.place IS 'File and line from which it was first read.';
COMMENT ON COLUMN imported_rows.is_conversation IS 'True if the texts were lists of messages.';
COMMENT ON COLUMN imported_rows.messages IS
    'JSON: messages of the answers that are more than one of the assistant, by their place from 0. '
    'candidates holds the same texts as a dialogue, prompts the messages of the prompt.';
COMMENT ON COLUMN imported_rows.columns IS
    'JSON: every other column of the row, such as the pair and the judges it came from; personal '
    'data is treated as in the texts.';
COMMENT ON COLUMN imported_rows.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN imported_rows.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN imported_rows.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE prompt_users (
    id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL, user_id VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE prompt_users IS
    'Users who sent a prompt, if the source names them; a prompt can have several.';
COMMENT ON COLUMN prompt_users.id IS 'Hash of prompt and user.';
COMMENT ON COLUMN prompt_users.prompt_id IS 'prompts.id of the prompt.';
COMMENT ON COLUMN prompt_users.user_id IS
    'User id as in the source, not hashed: use pseudonyms in the source if ids are names.';
COMMENT ON COLUMN prompt_users.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN prompt_users.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN prompt_users.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE prompt_topics (
    id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL, number INTEGER NOT NULL, topic VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE prompt_topics IS
    'Topics of prompts, if the source names them; of several of a prompt the last one holds.';
COMMENT ON COLUMN prompt_topics.id IS 'Hash of prompt and number.';
COMMENT ON COLUMN prompt_topics.prompt_id IS 'prompts.id of the prompt.';
COMMENT ON COLUMN prompt_topics.number IS
    '0 for the first topic that was read, and one more after each change.';
COMMENT ON COLUMN prompt_topics.topic IS 'The topic or source, as in the prompt file.';
COMMENT ON COLUMN prompt_topics.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN prompt_topics.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN prompt_topics.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE prompt_removals (
    id VARCHAR NOT NULL, prompt_set_id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL,
    reason VARCHAR NOT NULL, kept_id VARCHAR,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE prompt_removals IS
    'Prompts of a source or import that hygiene left out, once for each version of the data.';
COMMENT ON COLUMN prompt_removals.id IS 'Hash of prompt set, prompt and reason.';
COMMENT ON COLUMN prompt_removals.prompt_set_id IS
    'Version of the data that it was left out of: an id of prompt_sets or imports.';
COMMENT ON COLUMN prompt_removals.prompt_id IS
    'Id that the prompt would have, a hash of its content; other sets can hold it.';
COMMENT ON COLUMN prompt_removals.reason IS
    'both_splits (users of both splits sent it), shared_prefix, near_duplicate, or per_user (its '
    'sender has enough prompts).';
COMMENT ON COLUMN prompt_removals.kept_id IS
    'Id of the prompt that was kept instead; null if none was.';
COMMENT ON COLUMN prompt_removals.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN prompt_removals.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN prompt_removals.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE privacy_findings (
    id VARCHAR NOT NULL, prompt_set_id VARCHAR NOT NULL, source VARCHAR NOT NULL,
    kind VARCHAR NOT NULL, action VARCHAR NOT NULL, prompt_id VARCHAR, spans INTEGER NOT NULL,
    prompts INTEGER NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE privacy_findings IS
    'Personal data in the texts of a source of prompts, or of an import, without the texts.';
COMMENT ON COLUMN privacy_findings.id IS 'Hash of prompt set, source, kind, action and prompt.';
COMMENT ON COLUMN privacy_findings.prompt_set_id IS
    'Version of the data: an id of prompt_sets or imports.';
COMMENT ON COLUMN privacy_findings.source IS
    'Source of the prompts, as in the config, or name of the import.';
COMMENT ON COLUMN privacy_findings.kind IS
    'email, phone, credit_card, iban, ip_address or secret (keys, tokens, passwords in addresses).';
COMMENT ON COLUMN privacy_findings.action IS
    'counted (the text was kept), masked (a placeholder replaces it) or dropped.';
COMMENT ON COLUMN privacy_findings.prompt_id IS
    'prompts.id of the prompt, or of the prompt of imported rows. Null for dropped prompts, which '
    'one row a kind sums up.';
COMMENT ON COLUMN privacy_findings.spans IS
    'Number of places in the prompt, its context and references; for an import, in all its rows '
    'about the prompt, including answers and other columns.';
COMMENT ON COLUMN privacy_findings.prompts IS
    'Number of prompts that the row is about; for what an import dropped, the number of its rows.';
COMMENT ON COLUMN privacy_findings.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN privacy_findings.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN privacy_findings.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE deletions (
    id VARCHAR NOT NULL, user_hash VARCHAR NOT NULL, requested_by VARCHAR NOT NULL,
    deletion VARCHAR NOT NULL, deleted_rows VARCHAR NOT NULL, model_ids VARCHAR[] NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE deletions IS
    'Deletions by `solon forget`, the one exception to facts that never change.';
COMMENT ON COLUMN deletions.id IS 'Hash of user hash and deletion.';
COMMENT ON COLUMN deletions.user_hash IS
    'Name of a key, a dash, and the hash of the user id by that key: with the key an id can be '
    'looked up, but never read back.';
COMMENT ON COLUMN deletions.requested_by IS 'Account of the person who ran the command.';
COMMENT ON COLUMN deletions.deletion IS 'Id that tells two deletions of one user apart.';
COMMENT ON COLUMN deletions.deleted_rows IS 'JSON object with the number of deleted rows by table.';
COMMENT ON COLUMN deletions.model_ids IS
    'models.id of the models that learnt from deleted rows, directly or through another model; '
    'their weights stay.';
COMMENT ON COLUMN deletions.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN deletions.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN deletions.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE prompt_tombstones (
    id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL, user_hash VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE prompt_tombstones IS
    'Prompts that a user had deleted. Reading the same source again does not restore them: a row '
    'of that user, or of no user, is left out; other users may send the same words.';
COMMENT ON COLUMN prompt_tombstones.id IS 'Hash of prompt and user hash.';
COMMENT ON COLUMN prompt_tombstones.prompt_id IS 'Id that the prompt had, a hash of its content.';
COMMENT ON COLUMN prompt_tombstones.user_hash IS 'Hash of the user id, as in deletions.';
COMMENT ON COLUMN prompt_tombstones.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN prompt_tombstones.run_id IS
    'The run or command that wrote the row; all rows of a run share it.';
COMMENT ON COLUMN prompt_tombstones.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE spot_checks (
    id VARCHAR NOT NULL, pair_id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL,
    left_id VARCHAR NOT NULL, right_id VARCHAR NOT NULL, person VARCHAR NOT NULL,
    verdict VARCHAR NOT NULL, note VARCHAR, strategy VARCHAR NOT NULL, shown_left VARCHAR NOT NULL,
    seconds DOUBLE NOT NULL, round INTEGER NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE spot_checks IS
    'Verdicts of people on pairs, given without seeing the judges'': evidence about judges, never '
    'training data. A changed verdict is a row of a higher round; human_verdicts has the newest.';
COMMENT ON COLUMN spot_checks.id IS 'Hash of candidates, person, round, verdict and note.';
COMMENT ON COLUMN spot_checks.pair_id IS 'pairs.id of the pair that was shown.';
COMMENT ON COLUMN spot_checks.prompt_id IS 'prompts.id of its prompt.';
COMMENT ON COLUMN spot_checks.left_id IS
    'The pair''s left candidate; not always shown on the left.';
COMMENT ON COLUMN spot_checks.right_id IS 'The pair''s right candidate.';
COMMENT ON COLUMN spot_checks.person IS 'Name that the person chose.';
COMMENT ON COLUMN spot_checks.verdict IS
    'left or right (left_id or right_id is better, wherever it was shown), tie or unsure.';
COMMENT ON COLUMN spot_checks.note IS 'Note of the person; null if there is none.';
COMMENT ON COLUMN spot_checks.strategy IS
    'Strategy that chose the pair: disagreement, low_margin, high_weight or random. Only random '
    'represents all pairs; the others choose pairs whose labels are likely wrong or matter most.';
COMMENT ON COLUMN spot_checks.shown_left IS
    'The candidate shown on the left, drawn at random for each pair and person.';
COMMENT ON COLUMN spot_checks.seconds IS 'Seconds from showing the pair to the verdict.';
COMMENT ON COLUMN spot_checks.round IS '1 for the first verdict, then one more for each change.';
COMMENT ON COLUMN spot_checks.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN spot_checks.run_id IS 'The session of spot checks that wrote the row.';
COMMENT ON COLUMN spot_checks.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

CREATE TABLE artifact_removals (
    id VARCHAR NOT NULL, kind VARCHAR NOT NULL, name VARCHAR NOT NULL, model_id VARCHAR,
    line VARCHAR NOT NULL, cycle INTEGER NOT NULL, keep_cycles INTEGER NOT NULL,
    bytes BIGINT NOT NULL, removed_by VARCHAR NOT NULL, removal VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE artifact_removals IS
    'Decisions of `solon gc` to remove files that the retention of a line no longer keeps, or the '
    'texts of rollouts. Each is written just before its removal.';
COMMENT ON COLUMN artifact_removals.id IS 'Hash of kind, name and removal.';
COMMENT ON COLUMN artifact_removals.kind IS
    'model, checkpoint (of a training that did not end), curves (of a tracker), report, or '
    'rollouts (their texts; all other columns of the rows stay).';
COMMENT ON COLUMN artifact_removals.name IS
    'Path in the folder of artifacts; for rollouts, the id of their policy.';
COMMENT ON COLUMN artifact_removals.model_id IS
    'models.id; null for reports, and for checkpoints of a model that was never completed.';
COMMENT ON COLUMN artifact_removals.line IS 'Name of the policy line that made it.';
COMMENT ON COLUMN artifact_removals.cycle IS 'Number of the cycle that made it.';
COMMENT ON COLUMN artifact_removals.keep_cycles IS 'service.retention.keep_cycles at that time.';
COMMENT ON COLUMN artifact_removals.bytes IS 'Size of what was removed.';
COMMENT ON COLUMN artifact_removals.removed_by IS 'Account of the person who ran the command.';
COMMENT ON COLUMN artifact_removals.removal IS 'Id that all removals of one command share.';
COMMENT ON COLUMN artifact_removals.created_at IS 'Time at which the row was written, UTC.';
COMMENT ON COLUMN artifact_removals.run_id IS 'The command that wrote the row.';
COMMENT ON COLUMN artifact_removals.code_version IS
    'Solon''s release and the hash of its sources when the row was written.';

COMMENT ON TABLE migrations IS 'Files of the schema that were applied to this store.';
COMMENT ON COLUMN migrations.number IS 'The file''s number; 0 for a file of views.';
COMMENT ON COLUMN migrations.name IS 'The file''s name.';
COMMENT ON COLUMN migrations.hash IS
    'Hash of the file as it was applied; an edited one is refused, or applied again if it holds '
    'views.';
COMMENT ON COLUMN migrations.applied_at IS 'Time at which the file was applied.';
