-- Prompts that are the same, or nearly, and whether that joins train and holdout.
-- Filter: WHERE split <> other_split
WITH found AS (
    SELECT 1.0 AS jaccard, one.text, other.text AS other_text, one.split, other.split AS other_split
    FROM duplicate_prompts
    JOIN prompts AS one ON one.id = prompt_ids[1]
    JOIN prompts AS other ON other.id = prompt_ids[2]
    UNION ALL
    SELECT jaccard, text, other_text, split, other_split FROM near_duplicate_prompts
)
SELECT * FROM found
ORDER BY split = other_split, jaccard DESC, text, other_text;
