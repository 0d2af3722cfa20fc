-- One metric over the steps of each training; deploy/docs/metrics.md lists the metrics.
-- $metric = kl: name of the metric
SELECT model_id, step, value
FROM metrics
WHERE name = $metric
ORDER BY model_id, step;
