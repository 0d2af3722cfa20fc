-- Prompts that no answer of any model, in any cycle, was scored well on, the worst first.
-- $judge = %: a judge's name, % for any
-- $below = 0.5: what counts as well, in the judge's score from 0 to 1
SELECT judge, judge_version, answers, best_score, mean_score, split, mode, prompt_id, prompt
FROM prompt_best_scores
WHERE judge LIKE $judge AND best_score < $below
ORDER BY best_score, mean_score, judge_version, prompt_id;
