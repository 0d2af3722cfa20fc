-- Judges that could not be reached, or not be read: how often, and in whose words.

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
    'Each judge version by the figures that give bad ones away: '
    'SELECT * FROM judge_health WHERE judge = ''pairwise''';
COMMENT ON COLUMN judge_health.is_constant IS 'It has given one score, or one verdict, throughout.';
COMMENT ON COLUMN judge_health.chose_first IS 'Of its verdicts for one of two; 0.5 is fair.';
COMMENT ON COLUMN judge_health.flipped_share IS 'Contests whose winner changed with the order.';
COMMENT ON COLUMN judge_health.median_latency_seconds IS 'Estimated to about one in a hundred.';
COMMENT ON COLUMN judge_health.unavailable_share IS
    'Of its judgements, those for which it could not be reached; each attempt counts.';

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
    'constant: 20 opinions, all the same; flips: over 40 % of contests; takes one place: over 70 % '
    'of 50 or more; unavailable: over 5 %; unparsed: over 20 %; abstains: over half; slow: median '
    'over 10 s; costly: over 1 cent a judgement.';

CREATE VIEW judge_outages AS
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
    'Runs in which a judge could not be reached or not be read, and its commonest reason: '
    'SELECT * FROM judge_outages ORDER BY last_at DESC';
COMMENT ON COLUMN judge_outages.unavailable IS 'Questions that were not answered at all.';
COMMENT ON COLUMN judge_outages.unparsed IS 'Answers that no verdict could be read from.';
COMMENT ON COLUMN judge_outages.still_missing IS
    'Of the unavailable, those that no later run had answered.';
COMMENT ON COLUMN judge_outages.commonest_reason IS 'In the server''s own words, where it had any.';

CREATE VIEW check_unavailable_judges AS
SELECT 'unavailable' AS what, judge_version AS id,
       sum(still_missing) || ' verdicts missing: ' || max(commonest_reason) AS detail
FROM judge_outages GROUP BY judge_version
HAVING sum(still_missing) >= 20 AND sum(still_missing) > 0.05 * sum(judgements);
COMMENT ON VIEW check_unavailable_judges IS
    'warning: A judge could not be reached for more than a twentieth of its verdicts, and they are '
    'still missing. Mend what judge_outages tells, and run again: only they are asked for.';
