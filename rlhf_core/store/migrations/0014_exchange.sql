-- Preferences that came from elsewhere: what was imported, and what its rows held beside the words.

CREATE TABLE imports (
    id VARCHAR NOT NULL, source VARCHAR NOT NULL, form VARCHAR NOT NULL,
    judge_version VARCHAR NOT NULL, model_id VARCHAR NOT NULL, config_hash VARCHAR NOT NULL,
    rows INTEGER NOT NULL, left_out INTEGER NOT NULL, bad INTEGER NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE imports IS
    'Files of preferences that were imported to their end; an import that was cut off has no row.';
COMMENT ON COLUMN imports.id IS 'Content hash of judge_version.';
COMMENT ON COLUMN imports.source IS 'The name given at import; preferences.imported in a config names it.';
COMMENT ON COLUMN imports.form IS 'preference, ranking, sft or kto.';
COMMENT ON COLUMN imports.judge_version IS
    'The judge to whom the file''s labels are written: external- and a hash of source and rows.';
COMMENT ON COLUMN imports.model_id IS 'The model, of kind external, to which its answers are written.';
COMMENT ON COLUMN imports.config_hash IS 'What its pairs carry; the row of configs holds its settings.';
COMMENT ON COLUMN imports.rows IS 'Different rows that were imported.';
COMMENT ON COLUMN imports.left_out IS 'Rows that say nothing: equal answers, equal scores.';
COMMENT ON COLUMN imports.bad IS 'Rows that could not be read, under --skip-bad.';
COMMENT ON COLUMN imports.created_at IS 'When the row was written.';
COMMENT ON COLUMN imports.run_id IS 'Which run wrote it.';
COMMENT ON COLUMN imports.code_version IS 'Which version of Solon wrote it.';

CREATE TABLE imported_rows (
    id VARCHAR NOT NULL, import_id VARCHAR NOT NULL, prompt_id VARCHAR NOT NULL,
    subject_table VARCHAR NOT NULL, subject_id VARCHAR NOT NULL, part INTEGER NOT NULL,
    place VARCHAR NOT NULL, is_conversation BOOLEAN NOT NULL, messages VARCHAR, columns VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE imported_rows IS
    'Each imported row: the fact it became, where it stood, and what it held beside words and labels.';
COMMENT ON COLUMN imported_rows.id IS 'Content hash of import, subject and part.';
COMMENT ON COLUMN imported_rows.import_id IS 'Row of imports.';
COMMENT ON COLUMN imported_rows.prompt_id IS 'Row of prompts.';
COMMENT ON COLUMN imported_rows.subject_table IS
    'Where what it became lies: pairs, rankings, judgements (kto) or prompts (sft).';
COMMENT ON COLUMN imported_rows.subject_id IS 'Row of that table.';
COMMENT ON COLUMN imported_rows.part IS 'For sft, which of the reference answers, from 0; else 0.';
COMMENT ON COLUMN imported_rows.place IS 'File and line it was first read from.';
COMMENT ON COLUMN imported_rows.is_conversation IS 'Whether the words were lists of messages.';
COMMENT ON COLUMN imported_rows.messages IS
    'JSON: the messages of prompt and answers that are more than one of a user and one of an '
    'assistant. Their texts in prompts and candidates are the same, written as a dialogue.';
COMMENT ON COLUMN imported_rows.columns IS
    'JSON: every other column of the row, such as the pair and the judges it came from.';
COMMENT ON COLUMN imported_rows.created_at IS 'When the row was written.';
COMMENT ON COLUMN imported_rows.run_id IS 'Which run wrote it.';
COMMENT ON COLUMN imported_rows.code_version IS 'Which version of Solon wrote it.';
