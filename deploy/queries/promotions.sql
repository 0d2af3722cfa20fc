-- Every promotion or refusal, with its win rate.
SELECT promotions.created_at, promotions.line, promotions.cycle, promotions.policy_id, promotions.promoted,
       promotions.reasons, evaluations.judge, evaluations.win_rate, evaluations.win_rate_low,
       evaluations.win_rate_high, evaluations.kl
FROM promotions
JOIN evaluations ON evaluations.id = promotions.evaluation_id
ORDER BY promotions.created_at, promotions.cycle;
