"""Lineage steps downwards: what came of a fact."""

from rlhf_core.store.lineage.steps import Step

RANKED = """SELECT rankings.id, '' AS note FROM mine
JOIN rankings ON rankings.prompt_id = mine.prompt_id AND list_contains(rankings.{}, mine.id)"""
PAIRED = """SELECT pairs.id, pairs.outcome AS note FROM mine
JOIN pairs ON pairs.prompt_id = mine.prompt_id AND {}"""
LEARNT = """SELECT DISTINCT model_id AS id, 'input' AS note
FROM model_inputs JOIN ({}) AS of_mine ON input_id = of_mine.id WHERE role <> 'left_out'"""


def _ranked(column: str, is_in_pair: str) -> tuple[Step, ...]:
    """Rankings, pairs and models of a fact that rankings name in a list."""
    return (
        Step("ranked in", "rankings", RANKED.format(column)),
        Step("in", "pairs", PAIRED.format(is_in_pair)),
        Step("taught", "models", LEARNT.format(RANKED.format(column))),
    )


OF_JUDGE = """SELECT DISTINCT ranking_id AS id, '' AS note
FROM pairs JOIN mine ON list_contains(judge_versions, mine.id)"""

DOWN: dict[str, tuple[Step, ...]] = {
    "prompts": (
        Step(
            "answered by",
            "candidates",
            "SELECT candidates.id, model_id AS note FROM candidates JOIN mine "
            "ON prompt_id = mine.id",
        ),
        Step(
            "judged by",
            "judgements",
            "SELECT judgements.id, judge_version AS note FROM judgements JOIN mine "
            "ON prompt_id = mine.id",
        ),
        Step(
            "ranked in",
            "rankings",
            "SELECT rankings.id, '' AS note FROM rankings JOIN mine ON prompt_id = mine.id",
        ),
        Step(
            "in",
            "pairs",
            "SELECT pairs.id, outcome AS note FROM pairs JOIN mine ON prompt_id = mine.id",
        ),
        Step(
            "revised as",
            "revisions",
            "SELECT revisions.id, coalesce(principle, '') AS note FROM revisions JOIN mine "
            "ON prompt_id = mine.id",
        ),
        Step(
            "taught",
            "models",
            "SELECT model_id AS id, 'input' AS note FROM model_prompts JOIN mine "
            "ON prompt_id = mine.id",
        ),
    ),
    "candidates": (
        Step(
            "judged by",
            "judgements",
            "SELECT judgements.id, judge_version AS note FROM judgements JOIN mine "
            "ON judgements.prompt_id = mine.prompt_id "
            "AND mine.id IN (judgements.candidate_id, judgements.opponent_id)",
        ),
        *_ranked("candidate_ids", "mine.id IN (pairs.left_id, pairs.right_id)"),
    ),
    "judgements": (
        *_ranked("judgement_ids", "list_contains(pairs.judgement_ids, mine.id)"),
        Step("taught what it does not know", "models", LEARNT.format("SELECT id FROM mine")),
    ),
    "rankings": (
        Step(
            "as pairs",
            "pairs",
            "SELECT pairs.id, pairs.outcome AS note FROM pairs JOIN mine ON ranking_id = mine.id",
        ),
        Step("taught", "models", LEARNT.format("SELECT id FROM mine")),
    ),
    "pairs": (
        Step(
            "taught",
            "models",
            LEARNT.format("SELECT ranking_id AS id FROM mine") + " AND model_id NOT IN "
            "(SELECT model_id FROM model_inputs JOIN mine ON input_id = mine.id "
            "WHERE role = 'left_out')",
        ),
    ),
    "revisions": (
        Step(
            "mended as",
            "revisions",
            "SELECT revisions.id, coalesce(revisions.principle, '') AS note FROM revisions "
            "JOIN mine ON revisions.parent_id = mine.id",
        ),
        Step("taught", "models", LEARNT.format("SELECT id FROM mine")),
    ),
    "judge_versions": (
        Step(
            "said",
            "judgements",
            "SELECT judgements.id, outcome AS note FROM judgements JOIN mine "
            "ON judge_version = mine.id",
        ),
        Step("ranked in", "rankings", OF_JUDGE),
        Step(
            "decided in",
            "pairs",
            "SELECT pairs.id, outcome AS note FROM pairs JOIN mine "
            "ON list_contains(judge_versions, mine.id)",
        ),
        Step(
            "taught",
            "models",
            f"{LEARNT.format(OF_JUDGE)} UNION SELECT model_id, role FROM model_judges JOIN mine "
            "ON judge_version = mine.id WHERE role IN ('reward', 'judgements')",
        ),
        Step(
            "evaluated",
            "evaluations",
            "SELECT evaluations.id, policy_id AS note FROM evaluations JOIN mine "
            "ON judge_version = mine.id",
        ),
    ),
    "evaluations": (
        Step(
            "decided",
            "promotions",
            "SELECT promotions.id, promotions.policy_id AS note FROM promotions "
            "JOIN mine ON evaluation_id = mine.id",
        ),
        Step(
            "let go on",
            "models",
            "SELECT model_id AS id, 'begun' AS note FROM model_promotions "
            "JOIN mine ON evaluation_id = mine.id",
        ),
    ),
    "promotions": (
        Step(
            "let go on",
            "models",
            "SELECT model_id AS id, 'begun' AS note FROM model_promotions "
            "JOIN mine ON promotion_id = mine.id",
        ),
    ),
    "models": (
        Step(
            "sampled",
            "candidates",
            "SELECT model_id, candidates.id, '' AS note FROM candidates "
            "JOIN mine ON model_id = mine.id",
        ),
        Step(
            "is asked by",
            "judge_versions",
            "SELECT model_id, judge_version AS id, '' AS note FROM judge_models "
            "JOIN mine ON model_id = mine.id",
        ),
        Step(
            "evaluated in",
            "evaluations",
            "SELECT policy_id AS model_id, evaluations.id, evaluations.judge AS note "
            "FROM evaluations JOIN mine ON policy_id = mine.id",
        ),
        Step(
            "promoted in",
            "promotions",
            "SELECT policy_id AS model_id, promotions.id, '' AS note FROM promotions "
            "JOIN mine ON policy_id = mine.id WHERE promoted",
        ),
    ),
}
