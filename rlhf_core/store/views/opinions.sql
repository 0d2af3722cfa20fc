-- What is retracted, and the judgements that count.

CREATE OR REPLACE VIEW retracted AS
SELECT subject_table, subject_id, reason, retracted_by, created_at AS retracted_at
FROM (
    SELECT * FROM retractions
    QUALIFY row_number() OVER (PARTITION BY subject_table, subject_id ORDER BY number DESC) = 1
)
WHERE NOT withdrawn;
COMMENT ON VIEW retracted IS 'What is retracted now, and why: SELECT * FROM retracted.';
COMMENT ON COLUMN retracted.subject_table IS
    'judgements, judge_versions, pairs, candidates or prompts.';
COMMENT ON COLUMN retracted.subject_id IS 'Id of the retracted row, or the judge version.';
COMMENT ON COLUMN retracted.reason IS 'Reason, in the words of the person who decided.';
COMMENT ON COLUMN retracted.retracted_by IS 'Name of the person who decided.';
COMMENT ON COLUMN retracted.retracted_at IS 'Time of the decision.';

CREATE OR REPLACE VIEW retracted_judgements AS
SELECT judgements.id AS judgement_id, judgements.prompt_id, subject_table, subject_id
FROM judgements JOIN retracted ON subject_table = 'judgements' AND subject_id = judgements.id
UNION ALL
SELECT judgements.id, judgements.prompt_id, subject_table, subject_id
FROM judgements JOIN retracted ON subject_table = 'judge_versions' AND subject_id = judge_version
UNION ALL
SELECT judgements.id, judgements.prompt_id, subject_table, subject_id
FROM judgements JOIN retracted ON subject_table = 'candidates' AND subject_id = candidate_id
UNION ALL
SELECT judgements.id, judgements.prompt_id, subject_table, subject_id
FROM judgements JOIN retracted ON subject_table = 'candidates' AND subject_id = opponent_id
UNION ALL
SELECT judgements.id, judgements.prompt_id, subject_table, subject_id
FROM judgements JOIN retracted ON subject_table = 'prompts' AND subject_id = prompt_id;
COMMENT ON VIEW retracted_judgements IS
    'Judgements that no longer count, with the retracted fact: the judgement itself, its judge '
    'version, a candidate of it, or the prompt. A judgement has a row for each.';
COMMENT ON COLUMN retracted_judgements.judgement_id IS 'judgements.id.';
COMMENT ON COLUMN retracted_judgements.prompt_id IS 'prompts.id of its prompt.';
COMMENT ON COLUMN retracted_judgements.subject_table IS 'The retracted fact.';
COMMENT ON COLUMN retracted_judgements.subject_id IS 'The retracted fact.';

CREATE OR REPLACE VIEW standing_judgements AS
SELECT judgements.* FROM judgements
ANTI JOIN (SELECT subject_id FROM retracted WHERE subject_table = 'judgements') AS themselves
    ON themselves.subject_id = judgements.id
ANTI JOIN (SELECT subject_id FROM retracted WHERE subject_table = 'judge_versions') AS judges
    ON judges.subject_id = judgements.judge_version
ANTI JOIN (SELECT subject_id FROM retracted WHERE subject_table = 'candidates') AS shown_first
    ON shown_first.subject_id = judgements.candidate_id
ANTI JOIN (SELECT subject_id FROM retracted WHERE subject_table = 'candidates') AS shown_second
    ON shown_second.subject_id = judgements.opponent_id
ANTI JOIN (SELECT subject_id FROM retracted WHERE subject_table = 'prompts') AS asked
    ON asked.subject_id = judgements.prompt_id;
COMMENT ON VIEW standing_judgements IS
    'Judgements that count: all that are not retracted, whatever their outcome. Columns as in '
    'judgements.';

CREATE OR REPLACE VIEW opinions AS
SELECT * FROM standing_judgements WHERE outcome IN ('scored', 'first', 'second', 'tie');
COMMENT ON VIEW opinions IS
    'Judgements with an opinion: not unparsed, unavailable, abstaining or retracted.';
