-- Margin of the pairs and agreement of their judges, by the number of messages of the user.
SELECT turns, count(*) AS pairs, avg(margin) AS mean_margin, avg(agreement) AS mean_agreement,
       avg((outcome = 'preferred')::INTEGER) AS preferred
FROM pairs
JOIN (
    SELECT prompt_id, count(*) AS turns
    FROM prompt_messages WHERE role = 'user' AND NOT is_example GROUP BY prompt_id
) USING (prompt_id)
GROUP BY turns
ORDER BY turns;
