-- Intervals are no longer those of a bootstrap, evaluations hang on who looked in which role, and a
-- judge that had any say in what a policy stands on is found, by whatever config it trained.
COMMENT ON COLUMN evaluations.settings IS 'Hash of how answers were drawn, compared and counted, on which prompts, who looked at them in which role, and what they said.';
COMMENT ON COLUMN evaluations.baseline_id IS 'models.id it is compared with: the champion, which is the policy promoted before, or the SFT model.';
COMMENT ON COLUMN evaluations.win_rate IS 'Share of comparisons the policy won, ties and identical answers one half, prompts weighing the same; null where nothing was scored.';
COMMENT ON COLUMN evaluations.win_rate_low IS 'Lower end of its interval over prompts, at promotion.confidence; null with win_rate.';

CREATE OR REPLACE VIEW check_judges_of_both AS
SELECT DISTINCT 'trained and decides' AS what, evaluations.id, evaluations.judge_version AS detail
FROM evaluations
JOIN model_ancestry ON model_ancestry.model_id = evaluations.policy_id
JOIN model_judges ON model_judges.model_id = ancestor_id
    AND model_judges.judge_version = evaluations.judge_version AND model_judges.role <> 'evaluation'
WHERE evaluations.role = 'decides';
COMMENT ON VIEW check_judges_of_both IS
    'error: A judge decided on a policy that it had a say in training, itself or through the '
    'models behind it. Name another judge under evaluation.judges and evaluate again.';
