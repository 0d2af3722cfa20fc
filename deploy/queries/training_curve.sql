-- A figure over the steps of each training; deploy/docs/metrics.md says which figures there are.
-- $metric = kl: the figure's name
SELECT model_id, step, value
FROM metrics
WHERE name = $metric
ORDER BY model_id, step;
