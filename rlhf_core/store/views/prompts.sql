-- Messages of prompts; prompts and candidates that are unjudged, duplicate, private, or never
-- answered well.

CREATE OR REPLACE VIEW prompt_messages AS
WITH listed AS (
    SELECT id,
           coalesce(from_json(try_cast(few_shot AS JSON), '["JSON"]'), []) AS examples,
           coalesce(from_json(try_cast(messages AS JSON), '["JSON"]'),
                    [json_object('role', 'user', 'content', text)]) AS asked,
           -- Messages of the system at the start come before the worked examples.
           coalesce(list_position(list_transform(
               asked, lambda message: message->>'role' NOT IN ('system', 'developer')
           ), true) - 1, len(asked)) AS instructions
    FROM prompts
), placed AS (
    SELECT id, instructions, len(examples) AS examples,
           unnest(asked[:instructions] || examples || asked[instructions + 1:]) AS message,
           generate_subscripts(asked || examples, 1) - 1 AS position
    FROM listed
)
SELECT id AS prompt_id, position, message->>'role' AS role, message->>'content' AS content,
       message->'tool_calls' AS tool_calls,
       position >= instructions AND position < instructions + examples AS is_example
FROM placed;
COMMENT ON VIEW prompt_messages IS
    'Each message of each prompt, a single text being one of the user: SELECT role, content FROM '
    'prompt_messages WHERE prompt_id = ''…'' ORDER BY position';
COMMENT ON COLUMN prompt_messages.position IS 'Place of the message in the prompt, from 0.';
COMMENT ON COLUMN prompt_messages.role IS 'system, developer, user, assistant or tool.';
COMMENT ON COLUMN prompt_messages.content IS
    'Text of the message, without the context; null if it only calls tools.';
COMMENT ON COLUMN prompt_messages.tool_calls IS
    'JSON list of the tools that the message calls; null if it calls none.';
COMMENT ON COLUMN prompt_messages.is_example IS
    'True for a message of a worked example, which judges do not see.';

CREATE OR REPLACE VIEW unjudged_prompts AS
SELECT prompts.id AS prompt_id, prompts.mode, prompts.split, prompts.text AS prompt,
       prompts.id IN (SELECT prompt_id FROM candidates) AS has_candidates, prompts.run_id
FROM prompts ANTI JOIN judgements ON judgements.prompt_id = prompts.id;
COMMENT ON VIEW unjudged_prompts IS
    'Prompts without a judgement: SELECT * FROM unjudged_prompts WHERE split = ''train''';

CREATE OR REPLACE VIEW unjudged_candidates AS
WITH unread AS (
    SELECT candidate_id, count(*) AS n FROM judgements
    WHERE outcome IN ('abstains', 'unparsed', 'unavailable') GROUP BY candidate_id
), told AS (
    SELECT candidate_id, opponent_id FROM judgements
    WHERE outcome IN ('scored', 'first', 'second', 'tie')
), silent AS (
    SELECT * FROM candidates ANTI JOIN told ON told.candidate_id = candidates.id
)
SELECT silent.id AS candidate_id, silent.prompt_id, silent.model_id, silent.run_id, silent.text,
       coalesce(unread.n, 0) AS without_opinion
FROM silent
ANTI JOIN told ON told.opponent_id = silent.id
LEFT JOIN unread ON unread.candidate_id = silent.id;
COMMENT ON VIEW unjudged_candidates IS
    'Candidates without an opinion of any judge, alone, first or second: SELECT * FROM '
    'unjudged_candidates WHERE model_id = ''…''';
COMMENT ON COLUMN unjudged_candidates.without_opinion IS
    'Number of its judgements that were unparsed, unavailable or abstaining; 0 if it was never '
    'judged.';

CREATE OR REPLACE VIEW duplicate_prompts AS
SELECT lower(trim(regexp_replace(concat_ws(' ', context, text), '[\s\pP]+', ' ', 'g'))) AS words,
       count(*) AS copies, list(id ORDER BY created_at, id) AS prompt_ids,
       list(DISTINCT split) AS splits
FROM prompts GROUP BY words HAVING count(*) > 1;
COMMENT ON VIEW duplicate_prompts IS
    'Prompts with the same words, whatever their case, spaces and punctuation: SELECT * FROM '
    'duplicate_prompts WHERE len(splits) > 1';

CREATE OR REPLACE VIEW near_duplicate_prompts AS
-- Only prompts that share their first four or last four words are compared.
WITH worded AS (
    SELECT id, split, text, list_filter(string_split(trim(regexp_replace(
        lower(concat_ws(' ', context, text)), '[\s\pP]+', ' ', 'g')), ' '), lambda w: w <> '') AS words
    FROM prompts
), keyed AS (
    SELECT *, 'first ' || array_to_string(words[:4], ' ') AS key FROM worded
    UNION ALL
    SELECT *, 'last ' || array_to_string(words[-4:], ' ') FROM worded
), compared AS (
    SELECT one.id AS prompt_id, other.id AS other_id, one.text, other.text AS other_text,
           one.split, other.split AS other_split,
           len(list_intersect(one.words, other.words))
               / len(list_distinct(list_concat(one.words, other.words))) AS jaccard
    FROM keyed AS one JOIN keyed AS other ON other.key = one.key
    WHERE one.id < other.id
)
SELECT DISTINCT * FROM compared WHERE jaccard >= 0.8;
COMMENT ON VIEW near_duplicate_prompts IS
    'Prompts that share four fifths of their words and the first or last four: SELECT text, '
    'other_text FROM near_duplicate_prompts WHERE split <> other_split';
COMMENT ON COLUMN near_duplicate_prompts.jaccard IS
    'Number of words in both over number of words in either, 0.8 to 1.';

CREATE OR REPLACE VIEW duplicate_candidates AS
SELECT prompt_id, count(*) AS copies, list(id ORDER BY created_at, id) AS candidate_ids,
       list(DISTINCT model_id) AS model_ids, min(text) AS text
FROM candidates
GROUP BY prompt_id, replace(replace(lower(text), ' ', ''), E'\n', '') HAVING count(*) > 1;
COMMENT ON VIEW duplicate_candidates IS
    'Answers to one prompt with the same letters, whatever their case, spaces and line breaks: '
    'SELECT * FROM duplicate_candidates WHERE prompt_id = ''…''';
COMMENT ON COLUMN duplicate_candidates.text IS 'One of the texts.';

CREATE OR REPLACE VIEW identical_pairs AS
SELECT pairs.id AS pair_id, pairs.prompt_id, pairs.chosen_id, pairs.rejected_id, pairs.margin,
       pairs.config_hash, pairs.run_id, chosen.text
FROM pairs
JOIN candidates AS chosen ON chosen.id = pairs.chosen_id
JOIN candidates AS rejected ON rejected.id = pairs.rejected_id
WHERE chosen.text = rejected.text;
COMMENT ON VIEW identical_pairs IS
    'Pairs whose chosen and rejected text are the same: SELECT * FROM identical_pairs WHERE '
    'run_id = ''…''';

CREATE OR REPLACE VIEW prompt_best_scores AS
SELECT said.prompt_id, prompts.mode, prompts.split, said.judge, said.judge_version,
       count(DISTINCT said.candidate_id) AS answers, max(said.score) AS best_score,
       avg(said.score) AS mean_score, arg_max(said.candidate_id, said.score) AS best_candidate_id,
       prompts.text AS prompt
FROM opinions AS said
JOIN prompts ON prompts.id = said.prompt_id
WHERE said.outcome = 'scored' AND said.judge <> 'proxy'
GROUP BY said.prompt_id, prompts.mode, prompts.split, said.judge, said.judge_version, prompts.text;
COMMENT ON VIEW prompt_best_scores IS
    'The best score that each judge gave to any answer to each prompt, of any model and cycle: '
    'SELECT prompt, best_score FROM prompt_best_scores WHERE judge = ''similarity'' AND '
    'best_score < 0.5 ORDER BY best_score';
COMMENT ON COLUMN prompt_best_scores.answers IS 'Number of answers that the judge scored.';
COMMENT ON COLUMN prompt_best_scores.best_score IS
    'Best score, 0 to 1, in the judge''s own measure.';

CREATE OR REPLACE VIEW privacy_summary AS
SELECT source, prompt_set_id, kind, action, sum(prompts)::BIGINT AS prompts,
       sum(spans)::BIGINT AS spans
FROM privacy_findings GROUP BY source, prompt_set_id, kind, action;
COMMENT ON VIEW privacy_summary IS
    'Personal data by source, or import, and kind: SELECT * FROM privacy_summary ORDER BY spans '
    'DESC.';
COMMENT ON COLUMN privacy_summary.source IS 'Source of the prompts, as in privacy_findings.';
COMMENT ON COLUMN privacy_summary.prompt_set_id IS 'As in privacy_findings.';
COMMENT ON COLUMN privacy_summary.kind IS 'Kind of personal data, as in privacy_findings.';
COMMENT ON COLUMN privacy_summary.action IS 'counted, masked or dropped.';
COMMENT ON COLUMN privacy_summary.prompts IS 'Number of prompts with such data.';
COMMENT ON COLUMN privacy_summary.spans IS 'Number of places in their texts.';

CREATE OR REPLACE VIEW holdout_wear AS
WITH compared AS (
    SELECT DISTINCT evaluation_id, prompt_id FROM evaluation_results
), settings AS (
    SELECT config_hash,
           try_cast(json ->> '$.promotion.win_rate_above' AS DOUBLE) AS win_rate_above
    FROM (SELECT config_hash, try_cast(config AS JSON) AS json FROM configs)
)
SELECT promotions.line, prompt_id, count(*) AS decisions,
       sum(CASE WHEN win_rate_above < 0.5 THEN 1 ELSE coalesce(error_rate, 1) END) AS error_spent,
       max(promotions.created_at) AS last_at
FROM promotions JOIN compared USING (evaluation_id)
LEFT JOIN settings ON settings.config_hash = promotions.config_hash
GROUP BY promotions.line, prompt_id;
COMMENT ON VIEW holdout_wear IS
    'How often each held-out prompt took part in a decision on promotion: SELECT decisions, '
    'count(*) FROM holdout_wear WHERE line = ''…'' GROUP BY 1';
COMMENT ON COLUMN holdout_wear.line IS 'Name of the policy line.';
COMMENT ON COLUMN holdout_wear.prompt_id IS 'prompts.id.';
COMMENT ON COLUMN holdout_wear.decisions IS
    'Decisions by an evaluation that the prompt took part in, whether promoted or refused.';
COMMENT ON COLUMN holdout_wear.error_spent IS
    'Sum over these decisions of promotions.error_rate, or of 1 where promotion.win_rate_above is '
    'below one half: a bound of the chance that one of them promoted a policy that is no better.';
COMMENT ON COLUMN holdout_wear.last_at IS 'Time of the last of these decisions.';
