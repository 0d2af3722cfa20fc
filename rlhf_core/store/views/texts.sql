-- Facts with their texts.

CREATE OR REPLACE VIEW pair_texts AS
SELECT pairs.id AS pair_id, prompts.mode, prompts.split, prompts.text AS prompt,
       prompts.reference_answers, chosen.text AS chosen, rejected.text AS rejected,
       pairs.outcome, pairs.margin, pairs.agreement, pairs.judge_versions
FROM pairs
JOIN prompts ON prompts.id = pairs.prompt_id
LEFT JOIN candidates AS chosen ON chosen.id = pairs.chosen_id
LEFT JOIN candidates AS rejected ON rejected.id = pairs.rejected_id;
COMMENT ON VIEW pair_texts IS
    'Each pair with its texts: SELECT prompt, chosen, rejected FROM pair_texts.';
COMMENT ON COLUMN pair_texts.chosen IS
    'Text of the better answer; null for ties and unscored pairs.';
COMMENT ON COLUMN pair_texts.rejected IS
    'Text of the worse answer; null for ties and unscored pairs.';

CREATE OR REPLACE VIEW judgement_responses AS
SELECT judgement.id AS judgement_id, judge, judge_version, candidate_id, opponent_id, outcome,
       score, probability, reason, responses.text, responses.probabilities, responses.model,
       responses.finish_reason, responses.cost_usd, responses.created_at AS asked_at,
       judgement.created_at AS read_at
FROM (SELECT *, unnest(response_ids) AS response_id FROM judgements) AS judgement
JOIN responses ON responses.id = judgement.response_id;
COMMENT ON VIEW judgement_responses IS
    'Each verdict beside the responses that it was read from; a judgement that was parsed again '
    'has its own row.';
COMMENT ON COLUMN judgement_responses.text IS 'Response of the judge''s model, word for word.';
COMMENT ON COLUMN judgement_responses.cost_usd IS 'Price of the response, in US dollars.';
COMMENT ON COLUMN judgement_responses.asked_at IS 'Time of the response.';
COMMENT ON COLUMN judgement_responses.read_at IS 'Time at which the verdict was read from it.';

CREATE OR REPLACE VIEW revision_texts AS
SELECT revisions.reviser, prompts.text AS prompt, revisions.round, revisions.principle,
       parents.text AS before, revisions.critique, revisions.text AS after
FROM revisions
JOIN prompts ON prompts.id = revisions.prompt_id
JOIN revisions AS parents ON parents.id = revisions.parent_id;
COMMENT ON VIEW revision_texts IS 'Each revision with its texts: SELECT before, critique, after.';
COMMENT ON COLUMN revision_texts.before IS 'The answer before the revision.';
COMMENT ON COLUMN revision_texts.after IS 'The answer after the revision.';
