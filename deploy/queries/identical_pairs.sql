-- Pairs that prefer a text to the same text.
-- Filter: WHERE run_id = '…'
SELECT pair_id, margin, run_id, text
FROM identical_pairs
ORDER BY margin DESC, pair_id;
