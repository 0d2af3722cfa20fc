-- Judges: their costs, reliability, biases, drift and outages. Drift and biases count opinions, which
-- leave out what was retracted; costs and health count all judgements.

CREATE OR REPLACE VIEW judge_summary AS
SELECT judge, judge_version, count(*) AS judgements,
       count(*) FILTER (outcome IN ('unparsed', 'unavailable')) AS unscored,
       avg(score) AS mean_score, stddev_samp(score) AS score_deviation,
       avg((outcome = 'tie')::INTEGER) AS tie_rate,
       median(latency_seconds) AS median_latency_seconds, sum(cost_usd) AS cost_usd
FROM judgements GROUP BY judge, judge_version;
COMMENT ON VIEW judge_summary IS
    'Each judge version with its number of judgements, the spread of its scores and its cost.';
COMMENT ON COLUMN judge_summary.judgements IS 'Number of judgements, with or without an opinion.';
COMMENT ON COLUMN judge_summary.unscored IS
    'Number of judgements that were unparsed or unavailable.';
COMMENT ON COLUMN judge_summary.mean_score IS
    'Mean score of answers judged alone; null for judges that compare.';
COMMENT ON COLUMN judge_summary.score_deviation IS
    'Standard deviation of those scores; near 0 if the judge does not discriminate.';
COMMENT ON COLUMN judge_summary.tie_rate IS 'Share of its judgements that are ties, 0 to 1.';

CREATE OR REPLACE VIEW judge_costs AS
SELECT judge, judge_version, run_id, count(*) AS judgements, sum(prompt_tokens) AS prompt_tokens,
       sum(completion_tokens) AS completion_tokens, sum(cost_usd) AS cost_usd,
       sum(latency_seconds) AS seconds
FROM judgements GROUP BY judge, judge_version, run_id;
COMMENT ON VIEW judge_costs IS
    'Cost of each judge in each run: SELECT judge, sum(cost_usd) FROM judge_costs GROUP BY 1';
COMMENT ON COLUMN judge_costs.seconds IS 'Sum of latencies, though many judgements run at once.';

CREATE OR REPLACE VIEW judge_reliability AS
WITH newest AS (
    SELECT judge, judge_version, data, items_hash, arg_max(benchmark, created_at) AS benchmark
    FROM judge_benchmarks GROUP BY judge, judge_version, data, items_hash
)
SELECT judge, judge_version, data, items_hash,
       max(value) FILTER (metric = 'asked')::INTEGER AS asked,
       max(value) FILTER (metric = 'scored')::INTEGER AS scored,
       max(value) FILTER (metric = 'accuracy') AS accuracy,
       max(low) FILTER (metric = 'accuracy') AS accuracy_low,
       max(high) FILTER (metric = 'accuracy') AS accuracy_high,
       max(value) FILTER (metric = 'longer_accuracy') AS longer_accuracy,
       max(value) FILTER (metric = 'accuracy_common') AS accuracy_common,
       max(value) FILTER (metric = 'same_slot') AS same_slot,
       max(value) FILTER (metric = 'length_bias') AS length_bias,
       max(value) FILTER (metric = 'spearman') AS spearman,
       max(value) FILTER (metric = 'longer_spearman') AS longer_spearman,
       max(value) FILTER (metric = 'auc') AS auc,
       max(value) FILTER (metric = 'ece') AS ece,
       max(value) FILTER (metric = 'ece_after') AS ece_after,
       max(value) FILTER (metric = 'constant_share') AS constant_share,
       max(value) FILTER (metric = 'cost_usd') AS cost_usd,
       max(created_at) AS measured_at
FROM judge_benchmarks JOIN newest USING (judge, judge_version, data, items_hash, benchmark)
WHERE facet = '' GROUP BY judge, judge_version, data, items_hash;
COMMENT ON VIEW judge_reliability IS
    'Reliability of each judge at its last benchmark, beside that of choosing the longer answer.';
COMMENT ON COLUMN judge_reliability.data IS 'The file of labelled answers.';
COMMENT ON COLUMN judge_reliability.asked IS 'Number of cases that it judged.';
COMMENT ON COLUMN judge_reliability.scored IS 'Number of cases with an opinion.';
COMMENT ON COLUMN judge_reliability.accuracy IS
    'Share of labelled pairs on which it agrees with the label; null for sets of single texts.';
COMMENT ON COLUMN judge_reliability.accuracy_low IS 'Lower end of the interval of accuracy.';
COMMENT ON COLUMN judge_reliability.accuracy_high IS 'Upper end of that interval.';
COMMENT ON COLUMN judge_reliability.longer_accuracy IS
    'Accuracy of choosing the longer answer on the same pairs.';
COMMENT ON COLUMN judge_reliability.accuracy_common IS
    'Accuracy on the cases that every judge scored, by which judges can be compared.';
COMMENT ON COLUMN judge_reliability.measured_at IS 'Time of the last benchmark.';

CREATE OR REPLACE VIEW position_bias AS
SELECT judge, judge_version, count(*) AS comparisons,
       avg((outcome = 'first')::INTEGER) AS chose_first,
       avg((outcome = 'second')::INTEGER) AS chose_second
FROM opinions WHERE opponent_id IS NOT NULL GROUP BY judge, judge_version;
COMMENT ON VIEW position_bias IS
    'How often a pairwise judge chooses the answer shown first; 0.5 is fair.';
COMMENT ON COLUMN position_bias.comparisons IS 'Number of comparisons with an opinion.';
COMMENT ON COLUMN position_bias.chose_first IS
    'Share in which it chose the answer shown first, 0 to 1.';
COMMENT ON COLUMN position_bias.chose_second IS
    'Share in which it chose the answer shown second; the rest are ties.';

CREATE OR REPLACE VIEW position_bias_by_week AS
SELECT date_trunc('week', created_at)::DATE AS week, judge, judge_version, count(*) AS comparisons,
       avg((outcome = 'first')::INTEGER) AS chose_first,
       avg((outcome = 'second')::INTEGER) AS chose_second, avg(probability) AS mean_probability
FROM opinions
WHERE opponent_id IS NOT NULL
GROUP BY week, judge, judge_version;
COMMENT ON VIEW position_bias_by_week IS
    'position_bias, week by week: SELECT week, chose_first FROM position_bias_by_week WHERE judge '
    '= ''pairwise'' ORDER BY week';
COMMENT ON COLUMN position_bias_by_week.week IS 'Monday of the week.';
COMMENT ON COLUMN position_bias_by_week.mean_probability IS
    'Mean probability of the answer shown first; 0.5 is fair if both orders are judged.';

CREATE OR REPLACE VIEW length_bias AS
SELECT prompts.mode, count(*) AS pairs,
       avg((chosen.completion_tokens > rejected.completion_tokens)::INTEGER) AS longer_chosen
FROM pairs
JOIN prompts ON prompts.id = pairs.prompt_id
JOIN candidates AS chosen ON chosen.id = pairs.chosen_id
JOIN candidates AS rejected ON rejected.id = pairs.rejected_id
WHERE chosen.completion_tokens <> rejected.completion_tokens
GROUP BY prompts.mode;
COMMENT ON VIEW length_bias IS 'How often the longer answer was chosen, by mode.';
COMMENT ON COLUMN length_bias.pairs IS 'Pairs with a preference whose answers differ in length.';
COMMENT ON COLUMN length_bias.longer_chosen IS
    'Share of pairs in which the longer answer was chosen, 0 to 1.';

CREATE OR REPLACE VIEW length_bias_by_week AS
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
COMMENT ON COLUMN length_bias_by_week.pairs IS
    'Pairs of different lengths on which it has a preference.';

CREATE OR REPLACE VIEW judge_drift AS
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
    'Two versions of a judge on the same candidates: SELECT * FROM judge_drift WHERE judge = '
    '''rubric''. Versions are sorted by hash, which does not say which is the later.';
COMMENT ON COLUMN judge_drift.mean_shift IS
    'Mean of the second version''s score minus the first''s.';

CREATE OR REPLACE VIEW label_drift AS
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

CREATE OR REPLACE VIEW abstention_rates AS
WITH verdicts AS (
    SELECT judge, judge_version, candidate_id, try_cast(raw_output AS JSON) AS said
    FROM opinions WHERE judge_version LIKE 'abstention-%'
), answers AS (
    SELECT judge, judge_version, candidates.model_id,
           (said ->> '$.answerable')::BOOLEAN AS answerable,
           (said ->> '$.declines')::BOOLEAN AS declines,
           (said ->> '$.right')::BOOLEAN AS is_right
    FROM verdicts JOIN candidates ON candidates.id = verdicts.candidate_id
)
SELECT model_id, judge, judge_version,
       count(*) FILTER (answerable) AS answerable,
       avg(declines::INTEGER) FILTER (answerable) AS over_abstention_rate,
       avg(is_right::INTEGER) FILTER (answerable AND NOT declines) AS right_when_answering,
       count(*) FILTER (NOT answerable) AS unanswerable,
       avg(declines::INTEGER) FILTER (NOT answerable) AS abstention_rate_where_right
FROM answers GROUP BY model_id, judge, judge_version;
COMMENT ON VIEW abstention_rates IS
    'By model, as the judge abstention sees it: how often it declines questions that have an '
    'answer (over_abstention_rate), and those that have none.';
COMMENT ON COLUMN abstention_rates.answerable IS 'Answers to questions that have an answer.';
COMMENT ON COLUMN abstention_rates.over_abstention_rate IS 'Share of these that decline, 0 to 1.';
COMMENT ON COLUMN abstention_rates.right_when_answering IS
    'Share of these, without those that decline, that are right, 0 to 1.';
COMMENT ON COLUMN abstention_rates.unanswerable IS 'Answers to questions that have no answer.';
COMMENT ON COLUMN abstention_rates.abstention_rate_where_right IS
    'Share of these that decline, as they should, 0 to 1.';

CREATE OR REPLACE VIEW over_abstaining AS
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
    'Judges that abstain on more than a fifth of what they are asked, and models that decline '
    'more than a fifth of the questions that have an answer: SELECT * FROM over_abstaining WHERE '
    'who = ''model''';
COMMENT ON COLUMN over_abstaining.version IS 'Version of the judge, or of the judge of the model.';

CREATE OR REPLACE VIEW judge_health AS
WITH said AS (
    SELECT judge, judge_version, count(*) AS judgements,
           count(*) FILTER (outcome IN ('scored', 'first', 'second', 'tie')) AS opinions,
           avg((outcome = 'unparsed')::INTEGER) AS unparsed_share,
           avg((outcome = 'abstains')::INTEGER) AS abstaining_share,
           avg((outcome = 'unavailable')::INTEGER) AS unavailable_share,
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
       median_latency_seconds, mean_cost_usd, unavailable_share
FROM said LEFT JOIN contests ON contests.judge_version = said.judge_version;
COMMENT ON VIEW judge_health IS
    'Figures of each judge version that reveal bad ones: SELECT * FROM judge_health WHERE judge = '
    '''pairwise''';
COMMENT ON COLUMN judge_health.is_constant IS
    'True if all its scores, or all its verdicts, are the same.';
COMMENT ON COLUMN judge_health.chose_first IS
    'Share of its preferences for the answer shown first; 0.5 is fair.';
COMMENT ON COLUMN judge_health.flipped_share IS
    'Share of contests whose winner changed with the order.';
COMMENT ON COLUMN judge_health.median_latency_seconds IS
    'Median latency in seconds, estimated to about 1 %.';
COMMENT ON COLUMN judge_health.unavailable_share IS
    'Share of judgements for which it could not be reached; each attempt counts.';

CREATE OR REPLACE VIEW suspicious_judges AS
WITH found AS (
    SELECT *, list_filter([
        CASE WHEN opinions >= 20 AND is_constant THEN 'constant' END,
        CASE WHEN flipped_share > 0.4 THEN 'flips between orders' END,
        CASE WHEN firsts.n >= 50 AND abs(chose_first - 0.5) > 0.2 THEN 'takes one place' END,
        CASE WHEN unavailable_share > 0.05 THEN 'often unavailable' END,
        CASE WHEN unparsed_share > 0.2 THEN 'often unparsed' END,
        CASE WHEN abstaining_share > 0.5 THEN 'often abstains' END,
        CASE WHEN median_latency_seconds > 10 THEN 'slow' END,
        CASE WHEN mean_cost_usd > 0.01 THEN 'costly' END
    ], lambda r: r IS NOT NULL) AS reasons
    FROM judge_health, LATERAL (SELECT opinions AS n) AS firsts
)
SELECT judge, judge_version, reasons, judgements, opinions, unparsed_share, abstaining_share,
       is_constant, chose_first, flipped_share, median_latency_seconds, mean_cost_usd,
       unavailable_share
FROM found WHERE len(reasons) > 0;
COMMENT ON VIEW suspicious_judges IS
    'Judges to look at, and why: SELECT judge, reasons FROM suspicious_judges. Columns as in '
    'judge_health.';
COMMENT ON COLUMN suspicious_judges.reasons IS
    'constant: 20 opinions, all the same; flips: over 40 % of contests; takes one place: over 70 '
    '% of 50 or more; unavailable: over 5 %; unparsed: over 20 %; abstains: over half; slow: '
    'median over 10 s; costly: over 1 cent a judgement.';

CREATE OR REPLACE VIEW judge_outages AS
WITH answered AS (
    SELECT DISTINCT judge_version, candidate_id, opponent_id
    FROM judgements WHERE outcome <> 'unavailable'
)
SELECT judge, judgements.judge_version, run_id, count(*) AS judgements,
       count(*) FILTER (outcome = 'unavailable') AS unavailable,
       count(*) FILTER (outcome = 'unparsed') AS unparsed,
       count(*) FILTER (outcome = 'unavailable' AND answered.judge_version IS NULL) AS still_missing,
       mode(reason) FILTER (outcome IN ('unavailable', 'unparsed')) AS commonest_reason,
       min(created_at) FILTER (outcome IN ('unavailable', 'unparsed')) AS first_at,
       max(created_at) FILTER (outcome IN ('unavailable', 'unparsed')) AS last_at
FROM judgements LEFT JOIN answered
    ON answered.judge_version = judgements.judge_version
    AND answered.candidate_id = judgements.candidate_id
    AND answered.opponent_id IS NOT DISTINCT FROM judgements.opponent_id
GROUP BY judge, judgements.judge_version, run_id
HAVING unavailable + unparsed > 0;
COMMENT ON VIEW judge_outages IS
    'Runs in which a judge was unavailable or could not be parsed, and the commonest reason: '
    'SELECT * FROM judge_outages ORDER BY last_at DESC';
COMMENT ON COLUMN judge_outages.unavailable IS 'Requests without an answer.';
COMMENT ON COLUMN judge_outages.unparsed IS 'Answers without a verdict that could be parsed.';
COMMENT ON COLUMN judge_outages.still_missing IS
    'Unavailable requests that no later run has answered.';
COMMENT ON COLUMN judge_outages.commonest_reason IS 'The server''s own words, if it gave any.';
