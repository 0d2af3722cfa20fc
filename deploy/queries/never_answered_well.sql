-- Prompts that no answer of any model or cycle scored well on, the worst first.
-- $judge = %: a judge's name, % for any
-- $below = 0.5: lowest score that counts as well, 0 to 1
SELECT judge, judge_version, answers, best_score, mean_score, split, mode, prompt_id, prompt
FROM prompt_best_scores
WHERE judge LIKE $judge AND best_score < $below
ORDER BY best_score, mean_score, judge_version, prompt_id;
