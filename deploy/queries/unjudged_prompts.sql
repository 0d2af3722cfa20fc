-- Prompts without a judgement.
-- $split = train: train or holdout
SELECT prompt_id, mode, has_candidates, prompt
FROM unjudged_prompts
WHERE split = $split
ORDER BY prompt_id;
