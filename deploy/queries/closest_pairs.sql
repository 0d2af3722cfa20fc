-- Pairs with the smallest margins, with their texts.
-- $rows = 20: how many
SELECT pair_id, margin, agreement, prompt, chosen, rejected
FROM pair_texts
WHERE outcome = 'preferred'
ORDER BY margin, pair_id
LIMIT $rows;
