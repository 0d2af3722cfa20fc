-- Number of candidates without an opinion of any judge, by model.
-- Filter: WHERE model_id = '…'; SELECT * FROM unjudged_candidates lists them
SELECT model_id, count(*) AS candidates,
       count(*) FILTER (without_opinion > 0) AS asked_in_vain
FROM unjudged_candidates
GROUP BY model_id
ORDER BY candidates DESC, model_id;
