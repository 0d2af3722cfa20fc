-- Facts are appended and never changed. Ids are content hashes, made unique by an anti-join under
-- the store's lock: a primary key would cost four times the memory on append, and a foreign key
-- would forbid the list columns. The check_ views report what those would have refused.

CREATE TABLE configs (
    id VARCHAR NOT NULL, config_hash VARCHAR NOT NULL, config VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE configs IS 'Every config that ran, as JSON, by the hash other rows carry.';

CREATE TABLE prompts (
    id VARCHAR NOT NULL, text VARCHAR NOT NULL, context VARCHAR, mode VARCHAR NOT NULL,
    reference_answers VARCHAR[] NOT NULL, split VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE prompts IS 'What is asked, with reference answers; split is train or holdout.';

CREATE TABLE prompt_sets (
    id VARCHAR NOT NULL, source VARCHAR NOT NULL, prompt_ids VARCHAR[] NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE prompt_sets IS 'The prompts a source held at one time: a version of the data.';

CREATE TABLE candidates (
    id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL, model_id VARCHAR NOT NULL,
    sampling VARCHAR NOT NULL, temperature DOUBLE NOT NULL, max_new_tokens INTEGER NOT NULL,
    seed BIGINT NOT NULL, sample_index INTEGER NOT NULL, text VARCHAR NOT NULL,
    token_ids INTEGER[], logprobs FLOAT[], finish_reason VARCHAR NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    latency_seconds DOUBLE NOT NULL, cost_usd DOUBLE NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE candidates IS
    'Sampled answers; log-probabilities are those of the sampled tokens, at that temperature.';

CREATE TABLE judgements (
    id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL, judge VARCHAR NOT NULL,
    judge_version VARCHAR NOT NULL, candidate_id VARCHAR NOT NULL, opponent_id VARCHAR,
    presented VARCHAR NOT NULL, outcome VARCHAR NOT NULL, score DOUBLE, probability DOUBLE,
    raw_output VARCHAR, reason VARCHAR, latency_seconds DOUBLE NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cost_usd DOUBLE NOT NULL,
    attempt VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE judgements IS
    'One answer of one judge: score (0 to 1) of a candidate, or, of two shown, which is better and '
    'the probability that candidate_id, shown first, is. Unparsed and unavailable are no votes. '
    'The judge proxy is the reward model of the cycle: its scores are rewards, references around 0.';

CREATE TABLE rankings (
    id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL, model_id VARCHAR NOT NULL,
    seed BIGINT NOT NULL, recipe VARCHAR NOT NULL, candidate_ids VARCHAR[] NOT NULL,
    utilities DOUBLE[] NOT NULL, judgement_ids VARCHAR[] NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE rankings IS 'The candidates of a prompt, best first, as all judges together see it.';

CREATE TABLE pairs (
    id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL, ranking_id VARCHAR NOT NULL,
    left_id VARCHAR NOT NULL, right_id VARCHAR NOT NULL, outcome VARCHAR NOT NULL,
    chosen_id VARCHAR, rejected_id VARCHAR, margin DOUBLE, agreement DOUBLE,
    judgement_ids VARCHAR[] NOT NULL, judge_versions VARCHAR[] NOT NULL,
    config_hash VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE pairs IS
    'Two candidates of a ranking: preferred, tie or unscored; only preferred ones are trained on.';

CREATE TABLE models (
    id VARCHAR NOT NULL, kind VARCHAR NOT NULL, base VARCHAR NOT NULL, parent_id VARCHAR,
    recipe VARCHAR NOT NULL, data_hash VARCHAR NOT NULL, seed BIGINT NOT NULL,
    config_hash VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE models IS 'Every model version: its parent, recipe and data; artifacts/models/ID holds its weights.';

CREATE TABLE model_inputs (
    id VARCHAR NOT NULL, model_id VARCHAR NOT NULL, input_table VARCHAR NOT NULL,
    input_id VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE model_inputs IS 'The rows a model learnt from, one a row.';

CREATE TABLE rollouts (
    id VARCHAR NOT NULL, model_id VARCHAR NOT NULL, step INTEGER NOT NULL, row INTEGER NOT NULL,
    prompt_id VARCHAR NOT NULL, text VARCHAR NOT NULL, score DOUBLE NOT NULL, kl DOUBLE NOT NULL,
    completion_tokens INTEGER NOT NULL, finish_reason VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE rollouts IS 'Answers the policy gave while it was trained, and their reward.';

CREATE TABLE metrics (
    id VARCHAR NOT NULL, model_id VARCHAR NOT NULL, step INTEGER NOT NULL, name VARCHAR NOT NULL,
    value DOUBLE NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE metrics IS 'Training curves; deploy/docs/metrics.md says what each name means.';

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

CREATE TABLE promotions (
    id VARCHAR NOT NULL, config_hash VARCHAR NOT NULL, cycle INTEGER NOT NULL,
    policy_id VARCHAR NOT NULL, baseline_id VARCHAR NOT NULL, evaluation_id VARCHAR NOT NULL,
    promoted BOOLEAN NOT NULL, reasons VARCHAR[] NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE promotions IS 'The decision of each cycle: promoted or refused, and why.';

CREATE TABLE stage_runs (
    id VARCHAR NOT NULL, config_hash VARCHAR NOT NULL, cycle INTEGER NOT NULL,
    stage VARCHAR NOT NULL, seconds DOUBLE NOT NULL, detail VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE stage_runs IS 'Each stage of each cycle that ended, once.';

CREATE TABLE failures (
    id VARCHAR NOT NULL, stage VARCHAR NOT NULL, subject_id VARCHAR NOT NULL,
    reason VARCHAR NOT NULL, attempt VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE failures IS 'Work that could not be done, and why; the next run tries it again.';
