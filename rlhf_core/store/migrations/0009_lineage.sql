-- What came of what, in both directions, and which facts nobody should rely on any more. Recursion
-- goes over models alone, which are few; everything else is a join that a filter by id prunes.

CREATE TABLE retractions (
    id VARCHAR NOT NULL, subject_table VARCHAR NOT NULL, subject_id VARCHAR NOT NULL,
    number INTEGER NOT NULL, withdrawn BOOLEAN NOT NULL, reason VARCHAR NOT NULL,
    retracted_by VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE retractions IS
    'Decisions that a fact must not be relied on, or may be again: of each subject the one with the '
    'highest number counts. The fact itself stays; `retracted` shows what is retracted now.';
COMMENT ON COLUMN retractions.id IS 'Hash of subject_table, subject_id and number.';
COMMENT ON COLUMN retractions.subject_table IS 'judgements, judge_versions, pairs, candidates or prompts; judge_versions means all judgements of that version.';
COMMENT ON COLUMN retractions.subject_id IS 'Id of the retracted row, or the judge version.';
COMMENT ON COLUMN retractions.number IS 'Which decision about this subject it is, from 1.';
COMMENT ON COLUMN retractions.withdrawn IS 'Whether this decision takes the one before it back.';
COMMENT ON COLUMN retractions.reason IS 'Why, in the words of who decided.';
COMMENT ON COLUMN retractions.retracted_by IS 'Who decided.';
COMMENT ON COLUMN retractions.created_at IS 'When the row was written.';
COMMENT ON COLUMN retractions.run_id IS 'Which run wrote it.';
COMMENT ON COLUMN retractions.code_version IS 'Which version of the code wrote it.';

CREATE VIEW retracted AS
SELECT subject_table, subject_id, reason, retracted_by, created_at AS retracted_at
FROM (
    SELECT * FROM retractions
    QUALIFY row_number() OVER (PARTITION BY subject_table, subject_id ORDER BY number DESC) = 1
)
WHERE NOT withdrawn;
COMMENT ON VIEW retracted IS 'What is retracted now, and why: SELECT * FROM retracted.';
COMMENT ON COLUMN retracted.subject_table IS 'judgements, judge_versions, pairs, candidates or prompts.';
COMMENT ON COLUMN retracted.subject_id IS 'Id of the retracted row, or the judge version.';
COMMENT ON COLUMN retracted.reason IS 'Why, in the words of who decided.';
COMMENT ON COLUMN retracted.retracted_by IS 'Who decided.';
COMMENT ON COLUMN retracted.retracted_at IS 'When.';

CREATE VIEW retracted_judgements AS
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
    'Judgements that no longer count, with what was retracted: themselves, their judge version, a '
    'candidate they are about, or its prompt. A judgement has a row for each.';
COMMENT ON COLUMN retracted_judgements.judgement_id IS 'judgements.id.';
COMMENT ON COLUMN retracted_judgements.prompt_id IS 'Its prompt.';
COMMENT ON COLUMN retracted_judgements.subject_table IS 'Of what was retracted.';
COMMENT ON COLUMN retracted_judgements.subject_id IS 'Of what was retracted.';

CREATE VIEW standing_judgements AS
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
    'Judgements that count: all but the retracted, whatever their outcome. Columns as judgements.';

CREATE OR REPLACE VIEW opinions AS
SELECT * FROM standing_judgements WHERE outcome IN ('scored', 'first', 'second', 'tie');
COMMENT ON VIEW opinions IS
    'Judgements that say something: not unparsed, unavailable, abstaining or retracted.';

CREATE VIEW model_sources AS
SELECT id AS model_id, parent_id AS source_id, 'parent' AS relation
FROM models WHERE parent_id IS NOT NULL
UNION ALL
SELECT model_id, input_id, 'input' FROM model_inputs WHERE input_table = 'models'
UNION ALL
SELECT DISTINCT model_inputs.model_id, rankings.model_id, 'sampler'
FROM model_inputs
JOIN rankings ON model_inputs.input_table = 'rankings' AND rankings.id = model_inputs.input_id;
COMMENT ON VIEW model_sources IS
    'Which models a model stands on: one it was initialised from (parent), a reward model that '
    'taught or chose it (input), or one whose answers it learnt from, by rankings (sampler).';
COMMENT ON COLUMN model_sources.model_id IS 'models.id of the later model.';
COMMENT ON COLUMN model_sources.source_id IS 'models.id of the earlier one.';
COMMENT ON COLUMN model_sources.relation IS 'parent, input or sampler.';

CREATE VIEW model_ancestry AS
WITH RECURSIVE edges AS MATERIALIZED (SELECT DISTINCT model_id, source_id FROM model_sources),
ancestry AS (
    SELECT id AS model_id, id AS ancestor_id FROM models
    UNION
    SELECT ancestry.model_id, edges.source_id
    FROM ancestry JOIN edges ON edges.model_id = ancestry.ancestor_id
)
SELECT ancestry.model_id, ancestor_id, models.kind AS ancestor_kind
FROM ancestry JOIN models ON models.id = ancestor_id;
COMMENT ON VIEW model_ancestry IS
    'Each model with itself and every model behind it, by any relation of model_sources: join it '
    'to model_pairs, model_judges or model_prompts ON ancestor_id to see all that a policy stands on.';
COMMENT ON COLUMN model_ancestry.model_id IS 'models.id.';
COMMENT ON COLUMN model_ancestry.ancestor_id IS 'models.id of one behind it, or its own.';
COMMENT ON COLUMN model_ancestry.ancestor_kind IS 'Kind of that one.';
COMMENT ON VIEW model_lineage IS
    'Each model with the line of models it was initialised from, one after the other; '
    'model_ancestry has those that taught it, too.';

CREATE OR REPLACE VIEW model_prompts AS
SELECT model_id, input_id AS prompt_id FROM model_inputs WHERE input_table = 'prompts'
UNION
SELECT model_inputs.model_id, rankings.prompt_id FROM model_inputs
JOIN rankings ON model_inputs.input_table = 'rankings' AND rankings.id = model_inputs.input_id
UNION
SELECT model_inputs.model_id, revisions.prompt_id FROM model_inputs
JOIN revisions ON model_inputs.input_table = 'revisions' AND revisions.id = model_inputs.input_id;
COMMENT ON VIEW model_prompts IS
    'Which prompts each model learnt from itself: as they are, by a ranking or by a revision.';
COMMENT ON COLUMN model_prompts.model_id IS 'models.id.';
COMMENT ON COLUMN model_prompts.prompt_id IS 'prompts.id.';

CREATE VIEW prompt_models AS
SELECT prompt_id, model_ancestry.model_id,
       bool_or(model_ancestry.model_id = ancestor_id) AS is_direct
FROM model_prompts JOIN model_ancestry ON ancestor_id = model_prompts.model_id
GROUP BY prompt_id, model_ancestry.model_id;
COMMENT ON VIEW prompt_models IS
    'Which models learnt from each prompt: SELECT * FROM prompt_models WHERE prompt_id = ''…''.';
COMMENT ON COLUMN prompt_models.prompt_id IS 'prompts.id.';
COMMENT ON COLUMN prompt_models.model_id IS 'models.id.';
COMMENT ON COLUMN prompt_models.is_direct IS 'Whether it did itself, and not only by a model behind it.';

CREATE VIEW model_pairs AS
SELECT model_inputs.model_id, pairs.id AS pair_id, pairs.ranking_id, pairs.outcome
FROM model_inputs
JOIN pairs ON model_inputs.input_table = 'rankings' AND pairs.ranking_id = model_inputs.input_id;
COMMENT ON VIEW model_pairs IS
    'The pairs of the rankings that a model learnt from itself; unscored ones, and ties unless '
    'reward_model.ties is half, taught it nothing.';
COMMENT ON COLUMN model_pairs.model_id IS 'models.id.';
COMMENT ON COLUMN model_pairs.pair_id IS 'pairs.id.';
COMMENT ON COLUMN model_pairs.ranking_id IS 'rankings.id.';
COMMENT ON COLUMN model_pairs.outcome IS 'preferred, tie or unscored.';

CREATE VIEW model_judgements AS
SELECT model_inputs.model_id, unnest(rankings.judgement_ids) AS judgement_id, 'rankings' AS through
FROM model_inputs
JOIN rankings ON model_inputs.input_table = 'rankings' AND rankings.id = model_inputs.input_id
UNION ALL
SELECT model_id, input_id, 'judgements' FROM model_inputs WHERE input_table = 'judgements';
COMMENT ON VIEW model_judgements IS
    'The judgements behind what a model learnt from itself, by its rankings, or as the verdicts '
    'that "I don''t know" was taught for.';
COMMENT ON COLUMN model_judgements.model_id IS 'models.id.';
COMMENT ON COLUMN model_judgements.judgement_id IS 'judgements.id.';
COMMENT ON COLUMN model_judgements.through IS 'rankings or judgements: the input_table it came by.';

CREATE VIEW model_judges AS
SELECT DISTINCT model_inputs.model_id, unnest(pairs.judge_versions) AS judge_version,
       'rankings' AS role
FROM model_inputs
JOIN pairs ON model_inputs.input_table = 'rankings' AND pairs.ranking_id = model_inputs.input_id
UNION ALL
SELECT DISTINCT model_inputs.model_id, judgements.judge_version, 'judgements' FROM model_inputs
JOIN judgements ON model_inputs.input_table = 'judgements' AND judgements.id = model_inputs.input_id
UNION ALL
SELECT id, unnest(json_extract_string(try_cast(recipe AS JSON), '$.reward_judges[*]')), 'reward'
FROM models WHERE kind = 'policy'
UNION ALL
SELECT DISTINCT policy_id, judge_version, 'evaluation' FROM evaluations;
COMMENT ON VIEW model_judges IS
    'Which judge versions had a say in each model: on its rankings, on what it does not know '
    '(judgements), inside the reward of its training, or in its evaluation, which taught it nothing.';
COMMENT ON COLUMN model_judges.model_id IS 'models.id.';
COMMENT ON COLUMN model_judges.judge_version IS 'judgements.judge_version.';
COMMENT ON COLUMN model_judges.role IS 'rankings, judgements, reward or evaluation.';

CREATE VIEW tainted_rankings AS
SELECT rankings.id AS ranking_id, subject_table, subject_id
FROM rankings JOIN retracted ON subject_table = 'prompts' AND subject_id = rankings.prompt_id
UNION ALL
SELECT rankings.id, subject_table, subject_id
FROM retracted
JOIN candidates ON subject_table = 'candidates' AND candidates.id = subject_id
JOIN rankings ON rankings.prompt_id = candidates.prompt_id
    AND list_contains(rankings.candidate_ids, candidates.id)
UNION ALL
SELECT DISTINCT rankings.id, subject_table, subject_id
FROM retracted_judgements
JOIN rankings ON rankings.prompt_id = retracted_judgements.prompt_id
    AND list_contains(rankings.judgement_ids, judgement_id)
WHERE subject_table IN ('judgements', 'judge_versions');
COMMENT ON VIEW tainted_rankings IS
    'Rankings that rest on something retracted: no training reads them any more. `solon run` ranks '
    'again what is left.';
COMMENT ON COLUMN tainted_rankings.ranking_id IS 'rankings.id.';
COMMENT ON COLUMN tainted_rankings.subject_table IS 'Of what was retracted.';
COMMENT ON COLUMN tainted_rankings.subject_id IS 'Of what was retracted.';

CREATE VIEW tainted_pairs AS
SELECT pairs.id AS pair_id, pairs.ranking_id, subject_table, subject_id
FROM pairs JOIN retracted ON subject_table = 'pairs' AND subject_id = pairs.id
UNION ALL
SELECT pairs.id, pairs.ranking_id, subject_table, subject_id
FROM pairs JOIN retracted ON subject_table = 'prompts' AND subject_id = pairs.prompt_id
UNION ALL
SELECT pairs.id, pairs.ranking_id, subject_table, subject_id
FROM pairs JOIN retracted ON subject_table = 'candidates' AND subject_id = pairs.left_id
UNION ALL
SELECT pairs.id, pairs.ranking_id, subject_table, subject_id
FROM pairs JOIN retracted ON subject_table = 'candidates' AND subject_id = pairs.right_id
UNION ALL
SELECT DISTINCT pairs.id, pairs.ranking_id, subject_table, subject_id
FROM retracted_judgements
JOIN pairs ON pairs.prompt_id = retracted_judgements.prompt_id
    AND list_contains(pairs.judgement_ids, judgement_id)
WHERE subject_table IN ('judgements', 'judge_versions');
COMMENT ON VIEW tainted_pairs IS
    'Pairs that are retracted or rest on something retracted: a judgement, a candidate, the prompt.';
COMMENT ON COLUMN tainted_pairs.pair_id IS 'pairs.id.';
COMMENT ON COLUMN tainted_pairs.ranking_id IS 'rankings.id of its ranking.';
COMMENT ON COLUMN tainted_pairs.subject_table IS 'Of what was retracted.';
COMMENT ON COLUMN tainted_pairs.subject_id IS 'Of what was retracted.';

CREATE VIEW tainted_inputs AS
SELECT model_inputs.model_id, input_table, input_id, subject_table, subject_id
FROM model_inputs
JOIN tainted_rankings ON input_table = 'rankings' AND ranking_id = input_id
UNION ALL
SELECT model_inputs.model_id, input_table, input_id, subject_table, subject_id
FROM retracted
JOIN pairs ON subject_table = 'pairs' AND pairs.id = subject_id
JOIN model_inputs ON input_table = 'rankings' AND input_id = pairs.ranking_id
UNION ALL
SELECT model_inputs.model_id, input_table, input_id, subject_table, subject_id
FROM model_inputs
JOIN retracted ON input_table = 'prompts' AND subject_table = 'prompts' AND subject_id = input_id
UNION ALL
SELECT model_inputs.model_id, input_table, input_id, subject_table, subject_id
FROM retracted
JOIN revisions ON subject_table = 'prompts' AND revisions.prompt_id = subject_id
JOIN model_inputs ON input_table = 'revisions' AND input_id = revisions.id
UNION ALL
SELECT model_inputs.model_id, input_table, input_id, subject_table, subject_id
FROM model_inputs
JOIN retracted_judgements ON input_table = 'judgements' AND judgement_id = input_id
UNION ALL
SELECT model_id, 'judge_versions', judge_version, subject_table, subject_id
FROM model_judges
JOIN retracted ON role = 'reward' AND subject_table = 'judge_versions'
    AND subject_id = judge_version;
COMMENT ON VIEW tainted_inputs IS
    'What a model learnt from itself that is retracted or rests on something retracted.';
COMMENT ON COLUMN tainted_inputs.model_id IS 'models.id.';
COMMENT ON COLUMN tainted_inputs.input_table IS 'Of what it learnt from: as in model_inputs, or judge_versions for a judge inside its reward.';
COMMENT ON COLUMN tainted_inputs.input_id IS 'Of what it learnt from.';
COMMENT ON COLUMN tainted_inputs.subject_table IS 'Of what was retracted.';
COMMENT ON COLUMN tainted_inputs.subject_id IS 'Of what was retracted.';

CREATE VIEW tainted_models AS
WITH own AS (
    SELECT model_id, count(DISTINCT input_id) AS rows FROM tainted_inputs GROUP BY model_id
)
SELECT model_ancestry.model_id, models.kind,
       coalesce(sum(own.rows) FILTER (own.model_id = model_ancestry.model_id), 0)::BIGINT AS own_rows,
       coalesce(sum(own.rows) FILTER (own.model_id <> model_ancestry.model_id), 0)::BIGINT
           AS inherited_rows
FROM own
JOIN model_ancestry ON ancestor_id = own.model_id
JOIN models ON models.id = model_ancestry.model_id
GROUP BY model_ancestry.model_id, models.kind;
COMMENT ON VIEW tainted_models IS
    'Models that learnt, themselves or by a model behind them, from anything that rests on '
    'something retracted.';
COMMENT ON COLUMN tainted_models.model_id IS 'models.id.';
COMMENT ON COLUMN tainted_models.kind IS 'models.kind.';
COMMENT ON COLUMN tainted_models.own_rows IS 'How many such rows it learnt from itself; 0 where only models behind it did.';
COMMENT ON COLUMN tainted_models.inherited_rows IS 'How many such rows the models behind it learnt from, each model by itself: one that two of them learnt from counts twice.';

CREATE VIEW check_models_on_retracted AS
SELECT 'models' AS what, model_id AS id,
       'learnt from ' || own_rows || ' rows that rest on retracted facts, and the models behind it '
       || 'from ' || inherited_rows || '; train it again without them' AS detail
FROM tainted_models;
COMMENT ON VIEW check_models_on_retracted IS
    'Must be empty: models that learnt from facts that were retracted later.';
COMMENT ON COLUMN check_models_on_retracted.what IS 'Always models.';
COMMENT ON COLUMN check_models_on_retracted.id IS 'models.id.';
COMMENT ON COLUMN check_models_on_retracted.detail IS 'How much it learnt from them.';
