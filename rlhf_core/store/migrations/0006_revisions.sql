-- Critique and revision, and the demonstrations that come of it.

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

CREATE VIEW revision_texts AS
SELECT revisions.reviser, prompts.text AS prompt, revisions.round, revisions.principle,
       parents.text AS before, revisions.critique, revisions.text AS after
FROM revisions
JOIN prompts ON prompts.id = revisions.prompt_id
JOIN revisions AS parents ON parents.id = revisions.parent_id;
COMMENT ON VIEW revision_texts IS 'Each revision with its words: SELECT before, critique, after.';
