-- Which pairs were labelled differently under another config or other judges, by run.
-- Filter: WHERE later_run_id = '…'; SELECT * FROM label_drift lists the pairs
SELECT run_id, later_run_id, label, later_label, count(*) AS pairs
FROM label_drift
GROUP BY run_id, later_run_id, label, later_label
ORDER BY pairs DESC, run_id, later_run_id;
