-- The questions auditors ask, each with a query in deploy/queries/. A filter by id, run or judge
-- reaches the tables, since groups keep the columns that one filters by. Votes, biases and drift are
-- of opinions, which leave out what was retracted; costs and health are of all judgements.

CREATE VIEW judge_contests AS
SELECT forward.judge, forward.judge_version, forward.prompt_id, forward.candidate_id AS left_id,
       forward.opponent_id AS right_id, coalesce(forward.probability, 0.5) AS left_when_first,
       1 - coalesce(reversed.probability, 0.5) AS left_when_second,
       forward.outcome = reversed.outcome AND forward.outcome <> 'tie' AS is_flipped,
       nullif(concat_ws(' | ', forward.reason, reversed.reason), '') AS rationale,
       forward.created_at AS judged_at
FROM opinions AS forward
JOIN opinions AS reversed
    ON reversed.candidate_id = forward.opponent_id AND reversed.opponent_id = forward.candidate_id
    AND reversed.judge_version = forward.judge_version
WHERE forward.presented = 'forward' AND forward.outcome IN ('first', 'second', 'tie')
    AND reversed.presented = 'reversed' AND reversed.outcome IN ('first', 'second', 'tie');
COMMENT ON VIEW judge_contests IS
    'Two candidates as one judge compared them in both orders; those read in one order are left '
    'out. SELECT judge_version, avg(is_flipped::INTEGER) FROM judge_contests GROUP BY 1';
COMMENT ON COLUMN judge_contests.left_when_first IS 'Probability that left is better, as shown first.';
COMMENT ON COLUMN judge_contests.left_when_second IS 'Probability that left is better, as shown second.';
COMMENT ON COLUMN judge_contests.is_flipped IS 'The same place won in both orders, whoever stood there.';

CREATE OR REPLACE VIEW judge_votes AS
WITH labelled AS (
    SELECT *, CASE WHEN outcome <> 'preferred' THEN outcome WHEN chosen_id = left_id THEN 'left'
                   ELSE 'right' END AS label
    FROM pairs
)
SELECT pair.id AS pair_id, one.judge_version,
       coalesce(one.score, 0) - coalesce(other.score, 0) AS margin, one.judge, pair.prompt_id,
       pair.left_id, pair.right_id, pair.label,
       list_contains(pair.judge_versions, one.judge_version) AS is_counted,
       one.score AS left_score, other.score AS right_score,
       NULL::DOUBLE AS left_when_first, NULL::DOUBLE AS left_when_second,
       nullif(concat_ws(' | ', one.reason, other.reason), '') AS rationale,
       one.created_at AS judged_at
FROM labelled AS pair
JOIN opinions AS one ON one.candidate_id = pair.left_id
JOIN opinions AS other
    ON other.candidate_id = pair.right_id AND other.judge_version = one.judge_version
WHERE one.presented = 'alone' AND one.outcome = 'scored'
    AND other.presented = 'alone' AND other.outcome = 'scored'
UNION ALL
SELECT pair.id, contest.judge_version, left_when_first + left_when_second - 1, contest.judge,
       pair.prompt_id, pair.left_id, pair.right_id, pair.label,
       list_contains(pair.judge_versions, contest.judge_version), NULL, NULL,
       left_when_first, left_when_second, rationale, judged_at
FROM labelled AS pair
JOIN judge_contests AS contest
    ON contest.left_id = pair.left_id AND contest.right_id = pair.right_id;
COMMENT ON VIEW judge_votes IS
    'How each judge sees each pair, from two scores or from a contest in both orders, as pairs are '
    'made: SELECT judge, margin, rationale FROM judge_votes WHERE pair_id = ''…''';
COMMENT ON COLUMN judge_votes.margin IS 'By how much the left candidate is preferred, -1 to 1.';
COMMENT ON COLUMN judge_votes.label IS 'What the pair came to: left, right, tie or unscored.';
COMMENT ON COLUMN judge_votes.is_counted IS
    'Whether this judge version is one the pair was made from; others judged the same candidates.';
COMMENT ON COLUMN judge_votes.left_when_first IS 'Probability that left is better, as shown first.';
COMMENT ON COLUMN judge_votes.left_when_second IS 'Probability that left is better, as shown second.';
COMMENT ON COLUMN judge_votes.rationale IS 'The reasons given, left or forward first, where there are any.';

CREATE VIEW pair_votes AS
SELECT vote.pair_id, vote.prompt_id, prompts.text AS prompt, one.text AS left_text,
       other.text AS right_text, vote.label, vote.judge, vote.judge_version, vote.is_counted,
       vote.margin, vote.left_score, vote.right_score, vote.left_when_first, vote.left_when_second,
       vote.rationale, vote.judged_at
FROM judge_votes AS vote
JOIN prompts ON prompts.id = vote.prompt_id
JOIN candidates AS one ON one.id = vote.left_id
JOIN candidates AS other ON other.id = vote.right_id;
COMMENT ON VIEW pair_votes IS
    'A pair with both texts and all its votes, a row a judge version: '
    'SELECT * FROM pair_votes WHERE pair_id = ''…''. Columns as in judge_votes.';

CREATE VIEW dissenting_votes AS
SELECT pair_id, prompt_id, judge, judge_version, is_counted, label, margin, left_id, right_id,
       rationale, judged_at
FROM judge_votes
WHERE (label = 'left' AND margin < 0) OR (label = 'right' AND margin > 0);
COMMENT ON VIEW dissenting_votes IS
    'Where a judge prefers the candidate that was rejected: SELECT * FROM dissenting_votes '
    'WHERE judge = ''rubric'' ORDER BY abs(margin) DESC LIMIT 20. margin as in judge_votes.';

CREATE VIEW jury_members AS
WITH juries AS (
    SELECT id, prompt_id, judge, judge_version, candidate_id, opponent_id, outcome, probability,
           unnest(from_json(raw_output::JSON -> 'members', '[{"name": "VARCHAR", '
               '"outcome": "VARCHAR", "probability": "DOUBLE", "reason": "VARCHAR"}]')) AS member
    FROM judgements WHERE raw_output LIKE '{"members":%'
)
SELECT id AS judgement_id, prompt_id, judge, judge_version, candidate_id, opponent_id, outcome,
       probability, member.name AS member, member.outcome AS member_outcome,
       member.probability AS member_probability, member.reason AS member_reason,
       outcome IN ('first', 'second') AND member.outcome IN ('first', 'second')
           AND member.outcome <> outcome AS is_overruled
FROM juries;
COMMENT ON VIEW jury_members IS
    'What each member of a jury said beside what the jury came to: SELECT member, '
    'avg(is_overruled::INTEGER) FROM jury_members WHERE judge_version = ''…'' GROUP BY 1';
COMMENT ON COLUMN jury_members.probability IS 'The jury''s, that candidate_id, shown first, is better.';
COMMENT ON COLUMN jury_members.is_overruled IS 'The member preferred one candidate, the jury the other.';

CREATE OR REPLACE VIEW judge_agreement AS
-- A pair's votes become one list of numbers; there are few different lists, and only those are
-- crossed, where joining votes to votes would make fifteen rows a pair of six judges.
WITH versions AS (
    SELECT judge_version, any_value(judge) AS judge,
           row_number() OVER (ORDER BY judge_version) AS place
    FROM judgements GROUP BY judge_version
), ballots AS (
    SELECT list(3 * place + 1 + sign(margin)::INTEGER) AS votes
    FROM judge_votes JOIN versions ON versions.judge_version = judge_votes.judge_version
    GROUP BY pair_id
), patterns AS (
    SELECT votes, count(*) AS n FROM ballots GROUP BY votes
), ones AS (
    SELECT votes, n, unnest(votes) AS vote FROM patterns
), crossed AS (
    SELECT vote // 3 AS place, vote % 3 - 1 AS side, n, unnest(votes) AS other_vote FROM ones
), counted AS (
    SELECT place, other_vote // 3 AS other_place,
           sum(n * (side <> 0 AND other_vote % 3 <> 1)::INTEGER)::BIGINT AS pairs,
           sum(n * (side <> 0 AND other_vote % 3 - 1 = side)::INTEGER)::BIGINT AS agreed,
           sum(n)::BIGINT AS judged
    FROM crossed WHERE place < other_vote // 3 GROUP BY place, other_place
)
SELECT one.judge_version AS judge, other.judge_version AS other_judge, pairs,
       agreed / pairs AS agreement, one.judge AS judge_name, other.judge AS other_judge_name,
       judged - pairs AS undecided
FROM counted
JOIN versions AS one ON one.place = counted.place
JOIN versions AS other ON other.place = counted.other_place
WHERE pairs > 0;
COMMENT ON VIEW judge_agreement IS
    'Judge version against judge version, over the pairs on which both prefer one candidate: '
    'SELECT * FROM judge_agreement WHERE judge_name = ''rubric'' ORDER BY agreement';
COMMENT ON COLUMN judge_agreement.agreement IS 'Share of these pairs on which they prefer the same one.';
COMMENT ON COLUMN judge_agreement.undecided IS 'Pairs both judged on which one of them was undecided.';

CREATE VIEW position_bias_by_week AS
SELECT date_trunc('week', created_at)::DATE AS week, judge, judge_version, count(*) AS comparisons,
       avg((outcome = 'first')::INTEGER) AS chose_first,
       avg((outcome = 'second')::INTEGER) AS chose_second, avg(probability) AS mean_probability
FROM opinions
WHERE opponent_id IS NOT NULL
GROUP BY week, judge, judge_version;
COMMENT ON VIEW position_bias_by_week IS
    'position_bias, week by week: SELECT week, chose_first FROM position_bias_by_week '
    'WHERE judge = ''pairwise'' ORDER BY week';
COMMENT ON COLUMN position_bias_by_week.week IS 'Its Monday.';
COMMENT ON COLUMN position_bias_by_week.mean_probability IS
    'Given to what was shown first; 0.5 is fair where both orders are asked.';

CREATE VIEW length_bias_by_week AS
SELECT date_trunc('week', judged_at)::DATE AS week, judge, judge_version, count(*) AS pairs,
       avg(((one.completion_tokens > other.completion_tokens) = (margin > 0))::INTEGER)
           AS longer_preferred
FROM judge_votes
JOIN candidates AS one ON one.id = left_id
JOIN candidates AS other ON other.id = right_id
WHERE one.completion_tokens <> other.completion_tokens AND margin <> 0
GROUP BY week, judge, judge_version;
COMMENT ON VIEW length_bias_by_week IS
    'How often each judge prefers the longer answer, week by week; length_bias is of the labels: '
    'SELECT * FROM length_bias_by_week WHERE judge = ''rubric'' ORDER BY week';
COMMENT ON COLUMN length_bias_by_week.pairs IS 'Pairs of unlike length on which it has a preference.';

CREATE VIEW label_drift AS
WITH labelled AS (
    SELECT *, CASE WHEN outcome <> 'preferred' THEN outcome WHEN chosen_id = left_id THEN 'left'
                   ELSE 'right' END AS label
    FROM pairs
)
SELECT earlier.prompt_id, earlier.left_id, earlier.right_id, earlier.id AS pair_id,
       later.id AS later_pair_id, earlier.label, later.label AS later_label,
       earlier.judge_versions, later.judge_versions AS later_judge_versions, earlier.config_hash,
       later.config_hash AS later_config_hash, earlier.run_id, later.run_id AS later_run_id
FROM labelled AS earlier
JOIN labelled AS later ON later.left_id = earlier.left_id AND later.right_id = earlier.right_id
WHERE (earlier.created_at, earlier.id) < (later.created_at, later.id)
    AND earlier.label <> later.label;
COMMENT ON VIEW label_drift IS
    'The same two candidates labelled differently under another config or other judge versions: '
    'SELECT * FROM label_drift WHERE later_run_id = ''…''';

CREATE VIEW judge_drift AS
SELECT earlier.judge, earlier.judge_version, later.judge_version AS later_judge_version,
       count(*) AS candidates, avg(later.score - earlier.score) AS mean_shift,
       avg(abs(later.score - earlier.score)) AS mean_change,
       corr(earlier.score, later.score) AS correlation
FROM opinions AS earlier
JOIN opinions AS later
    ON later.candidate_id = earlier.candidate_id AND later.judge = earlier.judge
WHERE earlier.outcome = 'scored' AND later.outcome = 'scored'
    AND earlier.presented = 'alone' AND later.presented = 'alone'
    AND earlier.judge_version < later.judge_version
GROUP BY earlier.judge, earlier.judge_version, later.judge_version;
COMMENT ON VIEW judge_drift IS
    'Two versions of a judge on the same candidates: SELECT * FROM judge_drift '
    'WHERE judge = ''rubric''. Which is the later is not known from a hash: they are in its order.';
COMMENT ON COLUMN judge_drift.mean_shift IS 'Mean of the second version''s score minus the first''s.';

CREATE VIEW unjudged_prompts AS
SELECT prompts.id AS prompt_id, prompts.mode, prompts.split, prompts.text AS prompt,
       prompts.id IN (SELECT prompt_id FROM candidates) AS has_candidates, prompts.run_id
FROM prompts ANTI JOIN judgements ON judgements.prompt_id = prompts.id;
COMMENT ON VIEW unjudged_prompts IS
    'Prompts of which no judge was asked: SELECT * FROM unjudged_prompts WHERE split = ''train''';

CREATE VIEW unjudged_candidates AS
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
    'Candidates of which no judge has an opinion, shown alone, first or second: '
    'SELECT * FROM unjudged_candidates WHERE model_id = ''…''';
COMMENT ON COLUMN unjudged_candidates.without_opinion IS
    'Judgements of it that were unparsed, unavailable or abstaining; 0 where it was never judged.';

CREATE VIEW duplicate_prompts AS
SELECT lower(trim(regexp_replace(concat_ws(' ', context, text), '[\s\pP]+', ' ', 'g'))) AS words,
       count(*) AS copies, list(id ORDER BY created_at, id) AS prompt_ids,
       list(DISTINCT split) AS splits
FROM prompts GROUP BY words HAVING count(*) > 1;
COMMENT ON VIEW duplicate_prompts IS
    'Prompts of the same words, whatever their case, spaces and punctuation: '
    'SELECT * FROM duplicate_prompts WHERE len(splits) > 1';

CREATE VIEW near_duplicate_prompts AS
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
    'Prompts that share four fifths of their words and the first or last four: '
    'SELECT text, other_text FROM near_duplicate_prompts WHERE split <> other_split';
COMMENT ON COLUMN near_duplicate_prompts.jaccard IS 'Words in both over words in either, 0.8 to 1.';

CREATE VIEW duplicate_candidates AS
SELECT prompt_id, count(*) AS copies, list(id ORDER BY created_at, id) AS candidate_ids,
       list(DISTINCT model_id) AS model_ids, min(text) AS text
FROM candidates
GROUP BY prompt_id, replace(replace(lower(text), ' ', ''), E'\n', '') HAVING count(*) > 1;
COMMENT ON VIEW duplicate_candidates IS
    'Answers to one prompt of the same letters, whatever their case, spaces and line breaks: '
    'SELECT * FROM duplicate_candidates WHERE prompt_id = ''…''';
COMMENT ON COLUMN duplicate_candidates.text IS 'One of them.';

CREATE VIEW identical_pairs AS
SELECT pairs.id AS pair_id, pairs.prompt_id, pairs.chosen_id, pairs.rejected_id, pairs.margin,
       pairs.config_hash, pairs.run_id, chosen.text
FROM pairs
JOIN candidates AS chosen ON chosen.id = pairs.chosen_id
JOIN candidates AS rejected ON rejected.id = pairs.rejected_id
WHERE chosen.text = rejected.text;
COMMENT ON VIEW identical_pairs IS
    'Pairs whose chosen and rejected text are the same: '
    'SELECT * FROM identical_pairs WHERE run_id = ''…''';

CREATE VIEW judge_health AS
WITH said AS (
    SELECT judge, judge_version, count(*) AS judgements,
           count(*) FILTER (outcome IN ('scored', 'first', 'second', 'tie')) AS opinions,
           avg((outcome = 'unparsed')::INTEGER) AS unparsed_share,
           avg((outcome = 'abstains')::INTEGER) AS abstaining_share,
           min(CASE outcome WHEN 'scored' THEN score END)
               = max(CASE outcome WHEN 'scored' THEN score END) AS has_one_score,
           count(*) FILTER (outcome = 'first') AS firsts,
           count(*) FILTER (outcome = 'second') AS seconds,
           count(*) FILTER (outcome = 'tie') AS ties,
           approx_quantile(latency_seconds, 0.5) AS median_latency_seconds,
           avg(cost_usd) AS mean_cost_usd
    FROM judgements GROUP BY judge, judge_version
), contests AS (
    SELECT judge_version, avg(is_flipped::INTEGER) AS flipped_share
    FROM judge_contests GROUP BY judge_version
)
SELECT judge, said.judge_version, judgements, opinions, unparsed_share, abstaining_share,
       coalesce(has_one_score, greatest(firsts, seconds, ties) = opinions) AS is_constant,
       firsts / nullif(firsts + seconds, 0) AS chose_first, flipped_share,
       median_latency_seconds, mean_cost_usd
FROM said LEFT JOIN contests ON contests.judge_version = said.judge_version;
COMMENT ON VIEW judge_health IS
    'Each judge version by the figures that give bad ones away: '
    'SELECT * FROM judge_health WHERE judge = ''pairwise''';
COMMENT ON COLUMN judge_health.is_constant IS 'It has given one score, or one verdict, throughout.';
COMMENT ON COLUMN judge_health.chose_first IS 'Of its verdicts for one of two; 0.5 is fair.';
COMMENT ON COLUMN judge_health.flipped_share IS 'Contests whose winner changed with the order.';
COMMENT ON COLUMN judge_health.median_latency_seconds IS 'Estimated to about one in a hundred.';

CREATE VIEW suspicious_judges AS
WITH found AS (
    SELECT *, list_filter([
        CASE WHEN opinions >= 20 AND is_constant THEN 'constant' END,
        CASE WHEN flipped_share > 0.4 THEN 'flips between orders' END,
        CASE WHEN firsts.n >= 50 AND abs(chose_first - 0.5) > 0.2 THEN 'takes one place' END,
        CASE WHEN unparsed_share > 0.2 THEN 'often unparsed' END,
        CASE WHEN abstaining_share > 0.5 THEN 'often abstains' END,
        CASE WHEN median_latency_seconds > 10 THEN 'slow' END,
        CASE WHEN mean_cost_usd > 0.01 THEN 'costly' END
    ], lambda r: r IS NOT NULL) AS reasons
    FROM judge_health, LATERAL (SELECT opinions AS n) AS firsts
)
SELECT judge, judge_version, reasons, judgements, opinions, unparsed_share, abstaining_share,
       is_constant, chose_first, flipped_share, median_latency_seconds, mean_cost_usd
FROM found WHERE len(reasons) > 0;
COMMENT ON VIEW suspicious_judges IS
    'Judges to look at, and why: SELECT judge, reasons FROM suspicious_judges. Columns as in '
    'judge_health.';
COMMENT ON COLUMN suspicious_judges.reasons IS
    'constant: 20 opinions, all the same; flips: over 40 % of contests; takes one place: over 70 % '
    'of 50 or more; unparsed: over 20 %; abstains: over half; slow: median over 10 s; costly: over '
    '1 cent a judgement.';

CREATE VIEW judge_costs AS
SELECT judge, judge_version, run_id, count(*) AS judgements, sum(prompt_tokens) AS prompt_tokens,
       sum(completion_tokens) AS completion_tokens, sum(cost_usd) AS cost_usd,
       sum(latency_seconds) AS seconds
FROM judgements GROUP BY judge, judge_version, run_id;
COMMENT ON VIEW judge_costs IS
    'What each judge took in each run: SELECT judge, sum(cost_usd) FROM judge_costs GROUP BY 1';
COMMENT ON COLUMN judge_costs.seconds IS 'Of latency, summed over judgements, many of them at once.';

CREATE VIEW stage_costs AS
WITH spent AS (
    SELECT run_id, CASE split WHEN 'holdout' THEN 'evaluate' ELSE 'sample' END AS stage,
           count(*) AS calls, sum(prompt_tokens) AS prompt_tokens,
           sum(completion_tokens) AS completion_tokens, sum(cost_usd) AS cost_usd
    FROM (SELECT prompt_id, prompt_tokens, completion_tokens, cost_usd, run_id FROM candidates)
    JOIN (SELECT id, split FROM prompts) AS prompts ON prompts.id = prompt_id
    GROUP BY run_id, split
    UNION ALL
    SELECT run_id, CASE split WHEN 'holdout' THEN 'evaluate' ELSE 'judge' END, count(*),
           sum(prompt_tokens), sum(completion_tokens), sum(cost_usd)
    FROM (SELECT prompt_id, prompt_tokens, completion_tokens, cost_usd, run_id FROM judgements)
    JOIN (SELECT id, split FROM prompts) AS prompts ON prompts.id = prompt_id
    GROUP BY run_id, split
    UNION ALL
    SELECT run_id, 'revise', count(*), 0, 0, sum(cost_usd) FROM revisions GROUP BY run_id
    UNION ALL
    SELECT run_id, stage, 0, 0, 0, 0 FROM stage_runs
), totals AS (
    SELECT run_id, stage, sum(calls)::BIGINT AS calls, sum(prompt_tokens)::BIGINT AS prompt_tokens,
           sum(completion_tokens)::BIGINT AS completion_tokens, sum(cost_usd) AS cost_usd
    FROM spent GROUP BY run_id, stage
), ended AS (
    SELECT run_id, stage, sum(seconds) AS seconds FROM stage_runs GROUP BY run_id, stage
)
SELECT totals.*, ended.seconds
FROM totals LEFT JOIN ended ON ended.run_id = totals.run_id AND ended.stage = totals.stage;
COMMENT ON VIEW stage_costs IS
    'What each stage of each run took: SELECT stage, sum(cost_usd), sum(seconds) FROM stage_costs '
    'GROUP BY 1. Samples and judgements of held-out prompts are the evaluation''s.';
COMMENT ON COLUMN stage_costs.calls IS 'Candidates, judgements and revisions added; 0 of other stages.';
COMMENT ON COLUMN stage_costs.seconds IS 'By the clock; null of a stage that did not end in this run.';

CREATE VIEW run_rows AS
SELECT 'configs' AS table_name, run_id, count(*) AS added, min(created_at) AS first_at, max(created_at) AS last_at FROM configs GROUP BY run_id
UNION ALL SELECT 'prompts', run_id, count(*), min(created_at), max(created_at) FROM prompts GROUP BY run_id
UNION ALL SELECT 'prompt_sets', run_id, count(*), min(created_at), max(created_at) FROM prompt_sets GROUP BY run_id
UNION ALL SELECT 'candidates', run_id, count(*), min(created_at), max(created_at) FROM candidates GROUP BY run_id
UNION ALL SELECT 'responses', run_id, count(*), min(created_at), max(created_at) FROM responses GROUP BY run_id
UNION ALL SELECT 'revisions', run_id, count(*), min(created_at), max(created_at) FROM revisions GROUP BY run_id
UNION ALL SELECT 'judgements', run_id, count(*), min(created_at), max(created_at) FROM judgements GROUP BY run_id
UNION ALL SELECT 'rankings', run_id, count(*), min(created_at), max(created_at) FROM rankings GROUP BY run_id
UNION ALL SELECT 'pairs', run_id, count(*), min(created_at), max(created_at) FROM pairs GROUP BY run_id
UNION ALL SELECT 'models', run_id, count(*), min(created_at), max(created_at) FROM models GROUP BY run_id
UNION ALL SELECT 'model_inputs', run_id, count(*), min(created_at), max(created_at) FROM model_inputs GROUP BY run_id
UNION ALL SELECT 'rollouts', run_id, count(*), min(created_at), max(created_at) FROM rollouts GROUP BY run_id
UNION ALL SELECT 'metrics', run_id, count(*), min(created_at), max(created_at) FROM metrics GROUP BY run_id
UNION ALL SELECT 'evaluations', run_id, count(*), min(created_at), max(created_at) FROM evaluations GROUP BY run_id
UNION ALL SELECT 'promotions', run_id, count(*), min(created_at), max(created_at) FROM promotions GROUP BY run_id
UNION ALL SELECT 'stage_runs', run_id, count(*), min(created_at), max(created_at) FROM stage_runs GROUP BY run_id
UNION ALL SELECT 'failures', run_id, count(*), min(created_at), max(created_at) FROM failures GROUP BY run_id
UNION ALL SELECT 'judge_benchmarks', run_id, count(*), min(created_at), max(created_at) FROM judge_benchmarks GROUP BY run_id;
COMMENT ON VIEW run_rows IS
    'What each run added to each table, and when: SELECT * FROM run_rows WHERE run_id = ''…''';

CREATE VIEW config_values AS
SELECT configs.config_hash, value.fullkey AS setting, value.atom::VARCHAR AS value
FROM configs, json_tree(configs.config::JSON) AS value
WHERE value.atom IS NOT NULL;
COMMENT ON VIEW config_values IS
    'Every setting of every config that ran, one a row: '
    'SELECT setting, value FROM config_values WHERE config_hash = ''…''';
COMMENT ON COLUMN config_values.setting IS 'As $.training.steps; list entries by number.';

CREATE VIEW run_changes AS
WITH seen AS (
    SELECT 'rows of ' || table_name AS what, run_id, added::VARCHAR AS value FROM run_rows
    UNION ALL
    SELECT 'judge ' || judge || ' ' || judge_version, run_id, judgements::VARCHAR FROM judge_costs
    UNION ALL
    SELECT DISTINCT 'setting ' || setting, run_id, value
    FROM stage_runs JOIN config_values USING (config_hash)
), facts AS (
    SELECT what, run_id, string_agg(value, ', ' ORDER BY value) AS value FROM seen GROUP BY what, run_id
), runs AS (
    SELECT run_id, lag(run_id) OVER (ORDER BY min(first_at), run_id) AS former_run_id
    FROM run_rows GROUP BY run_id
), wanted AS (
    SELECT runs.run_id, former_run_id, what, value, NULL AS former
    FROM runs JOIN facts ON facts.run_id = runs.run_id WHERE former_run_id IS NOT NULL
    UNION ALL
    SELECT runs.run_id, former_run_id, what, NULL, value
    FROM runs JOIN facts ON facts.run_id = former_run_id
)
SELECT run_id, former_run_id, what, max(former) AS former, max(value) AS value
FROM wanted GROUP BY run_id, former_run_id, what
HAVING max(former) IS DISTINCT FROM max(value);
COMMENT ON VIEW run_changes IS
    'What changed from each run to the next: rows added by table, judgements by judge version, '
    'settings. SELECT * FROM run_changes WHERE run_id = ''…'' ORDER BY what';
COMMENT ON COLUMN run_changes.former IS 'In the run before; null where there was none.';

CREATE VIEW over_abstaining AS
SELECT 'judge' AS who, judge AS name, judge_version AS version, judgements AS asked,
       abstaining_share AS share
FROM (SELECT judge, judge_version, count(*) AS judgements,
             avg((outcome = 'abstains')::INTEGER) AS abstaining_share
      FROM judgements GROUP BY judge, judge_version)
WHERE abstaining_share > 0.2
UNION ALL
SELECT 'model', model_id, judge_version, answerable, over_abstention_rate
FROM abstention_rates WHERE over_abstention_rate > 0.2;
COMMENT ON VIEW over_abstaining IS
    'Judges that abstain on more than a fifth of what they are asked, and models that decline more '
    'than a fifth of the questions that have an answer: SELECT * FROM over_abstaining WHERE who = ''model''';
COMMENT ON COLUMN over_abstaining.version IS 'The judge''s, or that of the judge of the model.';
