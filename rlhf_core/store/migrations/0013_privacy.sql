-- Whose prompts these are, what was left out of a source and why, what personal data was found in
-- it, and what was deleted. No text of a prompt stands in any of these tables.

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
COMMENT ON TABLE prompt_removals IS 'Prompts of a source that hygiene left out, once a prompt set.';
COMMENT ON COLUMN prompt_removals.id IS 'Hash of prompt set, prompt and reason.';
COMMENT ON COLUMN prompt_removals.prompt_set_id IS 'The version of the data it was left out of.';
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
    'Personal data found in the prompts, contexts and references of a source, never the text.';
COMMENT ON COLUMN privacy_findings.id IS 'Hash of prompt set, source, kind, action and prompt.';
COMMENT ON COLUMN privacy_findings.prompt_set_id IS 'The version of the data it was found in.';
COMMENT ON COLUMN privacy_findings.source IS 'Where the prompts were read, as in the config.';
COMMENT ON COLUMN privacy_findings.kind IS
    'email, phone, credit_card, iban, ip_address or secret (keys, tokens, passwords in addresses).';
COMMENT ON COLUMN privacy_findings.action IS
    'counted (the text stayed as it was), masked (a placeholder took its place) or dropped.';
COMMENT ON COLUMN privacy_findings.prompt_id IS
    'Of prompts; null for those that were dropped, which one row a kind sums up.';
COMMENT ON COLUMN privacy_findings.spans IS 'How many places in the text.';
COMMENT ON COLUMN privacy_findings.prompts IS 'How many prompts the row is about.';
COMMENT ON COLUMN privacy_findings.created_at IS 'When the row was written.';
COMMENT ON COLUMN privacy_findings.run_id IS 'The run or command that wrote it.';
COMMENT ON COLUMN privacy_findings.code_version IS 'Release and hash of the sources that wrote it.';

CREATE VIEW privacy_summary AS
SELECT source, prompt_set_id, kind, action, sum(prompts)::BIGINT AS prompts,
       sum(spans)::BIGINT AS spans
FROM privacy_findings GROUP BY source, prompt_set_id, kind, action;
COMMENT ON VIEW privacy_summary IS
    'Personal data by source and kind: SELECT * FROM privacy_summary ORDER BY spans DESC.';
COMMENT ON COLUMN privacy_summary.source IS 'Where the prompts were read.';
COMMENT ON COLUMN privacy_summary.prompt_set_id IS 'The version of the data it was found in.';
COMMENT ON COLUMN privacy_summary.kind IS 'What it is, as in privacy_findings.';
COMMENT ON COLUMN privacy_summary.action IS 'counted, masked or dropped.';
COMMENT ON COLUMN privacy_summary.prompts IS 'How many prompts hold any.';
COMMENT ON COLUMN privacy_summary.spans IS 'How many places in their texts.';

CREATE TABLE deletions (
    id VARCHAR NOT NULL, user_hash VARCHAR NOT NULL, requested_by VARCHAR NOT NULL,
    deletion VARCHAR NOT NULL, deleted_rows VARCHAR NOT NULL, model_ids VARCHAR[] NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE deletions IS
    'Each `solon forget`: the one exception to facts that are never changed, and itself a fact.';
COMMENT ON COLUMN deletions.id IS 'Hash of user hash and deletion.';
COMMENT ON COLUMN deletions.user_hash IS
    'Hash of the user id: who knows an id can look it up, nobody can read it back.';
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
COMMENT ON COLUMN prompt_tombstones.code_version IS 'Release and hash of the sources that wrote it.';
