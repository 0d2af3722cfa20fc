-- What a model said and what was read from it are two facts: reading again is free.

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

ALTER TABLE judgements ADD COLUMN response_ids VARCHAR[] DEFAULT [];

-- A view of all columns must be made anew once there is another one.
CREATE OR REPLACE VIEW opinions AS
SELECT * FROM judgements WHERE outcome IN ('scored', 'first', 'second', 'tie');
COMMENT ON VIEW opinions IS 'Judgements that say something: not unparsed, unavailable or abstaining.';

CREATE VIEW judgement_responses AS
SELECT judgement.id AS judgement_id, judge, judge_version, candidate_id, opponent_id, outcome,
       score, probability, reason, responses.text, responses.probabilities, responses.model,
       responses.finish_reason, responses.cost_usd, responses.created_at AS asked_at,
       judgement.created_at AS read_at
FROM (SELECT *, unnest(response_ids) AS response_id FROM judgements) AS judgement
JOIN responses ON responses.id = judgement.response_id;
COMMENT ON VIEW judgement_responses IS
    'Each verdict beside the words it was read from; a judgement read again is a row of its own.';
