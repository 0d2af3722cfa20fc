-- Over-abstaining is invisible in a mean score: this counts it, by model and judge.

CREATE VIEW abstention_rates AS
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
    'By model, as the judge abstention sees it: how often it declines questions that have an answer '
    '(over_abstention_rate), and those that have none.';
