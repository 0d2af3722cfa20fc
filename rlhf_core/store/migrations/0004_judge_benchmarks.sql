-- What judges are worth on answers that people labelled; one row a figure, so that new figures
-- need no new columns.

CREATE TABLE judge_benchmarks (
    id VARCHAR NOT NULL, benchmark VARCHAR NOT NULL, judge VARCHAR NOT NULL,
    judge_version VARCHAR NOT NULL, data VARCHAR NOT NULL, items_hash VARCHAR NOT NULL,
    metric VARCHAR NOT NULL, facet VARCHAR NOT NULL, n INTEGER NOT NULL, value DOUBLE NOT NULL,
    low DOUBLE, high DOUBLE,
    created_at TIMESTAMPTZ NOT NULL, run_id VARCHAR NOT NULL, code_version VARCHAR NOT NULL
);
COMMENT ON TABLE judge_benchmarks IS
    'Figures of judges on labelled answers, with their interval; deploy/docs/metrics.md says what '
    'each metric means. facet is a subset, another judge or an attack; empty for the whole. '
    'Compare only rows of the same items_hash.';

CREATE VIEW judge_reliability AS
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
    'What each judge was worth when it was last measured, beside what the longer answer wins.';
