-- What is live in each policy line.

CREATE VIEW live_models AS
WITH decided AS (
    SELECT *, row_number() OVER (PARTITION BY line ORDER BY cycle DESC, created_at DESC) AS place
    FROM promotions WHERE promoted
), refused AS (
    SELECT line, cycle FROM promotions WHERE NOT promoted
)
SELECT live.line, live.policy_id AS model_id, live.cycle, live.created_at AS live_since,
       models.base, evaluations.judge, evaluations.win_rate, evaluations.win_rate_low,
       evaluations.win_rate_high, evaluations.prompts, live.evaluation_id,
       (SELECT count(*) FROM refused
        WHERE refused.line = live.line AND refused.cycle > live.cycle) AS refused_since
FROM decided AS live
JOIN models ON models.id = live.policy_id
LEFT JOIN evaluations ON evaluations.id = live.evaluation_id
WHERE live.place = 1;
COMMENT ON VIEW live_models IS
    'The model that is live in each policy line: the one promoted last, with the evaluation that decided. '
    'SELECT line, model_id, live_since, win_rate FROM live_models. A line without one is at its SFT model.';
COMMENT ON COLUMN live_models.line IS 'Name of the policy line.';
COMMENT ON COLUMN live_models.cycle IS 'In which it was promoted.';
COMMENT ON COLUMN live_models.live_since IS 'When it was promoted.';
COMMENT ON COLUMN live_models.prompts IS 'Held-out prompts that the win rate is of.';
COMMENT ON COLUMN live_models.refused_since IS 'Later cycles of the line whose policy was refused.';
