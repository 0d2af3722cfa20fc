-- How many answers are copies of another to the same prompt, by model.
-- Filter: WHERE model_id = '…'
WITH copied AS (
    SELECT unnest(candidate_ids[2:]) AS id FROM duplicate_candidates
)
SELECT model_id, count(copied.id) AS copies, count(*) AS candidates,
       count(copied.id) / count(*) AS copied_share
FROM candidates LEFT JOIN copied ON copied.id = candidates.id
GROUP BY model_id
ORDER BY copied_share DESC, model_id;
