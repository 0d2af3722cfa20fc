"""Lineage steps upwards: what a fact came from."""

from rlhf_core.store.lineage.steps import JUDGED, PRINCIPLED, PROMPT, SAMPLER, Step

BEHIND_RANKINGS = (
    PROMPT,
    Step(
        "candidates",
        "candidates",
        """SELECT id, model_id AS note FROM candidates
SEMI JOIN (SELECT hash(unnest(candidate_ids)) AS h FROM mine) AS ranked ON h = hash(id)""",
    ),
    JUDGED,
    PRINCIPLED,
    Step(
        "as pairs",
        "pairs",
        """SELECT id, outcome AS note FROM pairs
SEMI JOIN (SELECT hash(id) AS h FROM mine) AS ranked ON h = hash(ranking_id)""",
    ),
)
ALL_BEHIND = Step(
    "all behind it",
    "rankings",
    """SELECT DISTINCT input_id AS id, '' AS note
FROM model_inputs WHERE input_table = 'rankings' AND model_id IN (SELECT unnest($models))""",
    BEHIND_RANKINGS,
)
"""From several models at once, so that what they share counts once."""


def _inputs(table: str, note: str = "''", role: str = "learnt") -> str:
    named = f"JOIN {table} ON {table}.id = input_id" if note != "''" else ""
    return (
        f"SELECT mine.id AS model_id, input_id AS id, {note} AS note "
        f"FROM mine JOIN model_inputs ON model_id = mine.id {named} "
        f"WHERE input_table = '{table}' AND role = '{role}'"
    )


def _judges(role: str) -> str:
    return (
        "SELECT model_id, judge_version AS id, '' AS note FROM model_judges "
        f"JOIN mine ON model_id = mine.id WHERE role = '{role}'"
    )


DECIDED = Step(
    "decided by",
    "evaluations",
    "SELECT evaluations.id, judge_version AS note FROM mine "
    "JOIN evaluations ON evaluations.id = mine.evaluation_id",
)
UP: dict[str, tuple[Step, ...]] = {
    "models": (
        Step("learnt from", "prompts", _inputs("prompts")),
        Step("weights chosen on", "prompts", _inputs("prompts", role="chosen_on")),
        Step("rewards centred by", "prompts", _inputs("prompts", role="normalised_on")),
        Step("learnt from", "rankings", _inputs("rankings")),
        Step("without", "pairs", _inputs("pairs", role="left_out")),
        Step("learnt from", "revisions", _inputs("revisions", "coalesce(principle, '')")),
        Step(
            "learnt what it does not know by",
            "judgements",
            _inputs("judgements"),
            (
                Step(
                    "by",
                    "judge_versions",
                    "SELECT DISTINCT judge_version AS id, judge AS note FROM mine",
                ),
                Step(
                    "of",
                    "candidates",
                    """SELECT DISTINCT candidates.id, model_id AS note
FROM mine JOIN candidates ON candidates.id = mine.candidate_id""",
                ),
            ),
        ),
        Step("learnt from", "files", _inputs("files")),
        Step("rewarded by", "judge_versions", _judges("reward")),
        Step(
            "rewarded by the verdicts",
            "rollout_verdicts",
            "SELECT model_id, rollout_verdicts.id, judge_version AS note FROM rollout_verdicts "
            "JOIN mine ON model_id = mine.id",
        ),
        Step("evaluated by", "judge_versions", _judges("evaluation")),
        Step(
            "goes on from what was promoted in",
            "promotions",
            "SELECT model_id, promotion_id AS id, policy_id AS note FROM model_promotions "
            "JOIN mine ON model_id = mine.id",
            (DECIDED,),
        ),
    ),
    "promotions": (
        DECIDED,
        Step("promoted or refused", "models", "SELECT policy_id AS id, 'policy' AS note FROM mine"),
    ),
    "evaluations": (
        Step("by", "judge_versions", "SELECT judge_version AS id, judge AS note FROM mine"),
        Step("of", "models", "SELECT policy_id AS id, 'policy' AS note FROM mine"),
        Step("against", "models", "SELECT baseline_id AS id, 'baseline' AS note FROM mine"),
    ),
    "rankings": (
        *BEHIND_RANKINGS,
        Step("sampled by", "models", "SELECT model_id AS id, 'sampler' AS note FROM mine"),
    ),
    "pairs": (
        PROMPT,
        Step(
            "of",
            "candidates",
            """SELECT unnest([left_id, right_id]) AS id,
unnest([CASE WHEN chosen_id = left_id THEN 'chosen' WHEN rejected_id = left_id THEN 'rejected'
ELSE outcome END, CASE WHEN chosen_id = right_id THEN 'chosen'
WHEN rejected_id = right_id THEN 'rejected' ELSE outcome END]) AS note FROM mine""",
        ),
        Step("of", "rankings", "SELECT ranking_id AS id, '' AS note FROM mine"),
        JUDGED,
        PRINCIPLED,
        Step("sampled by", "models", SAMPLER.format("mine.left_id, mine.right_id")),
    ),
    "judgements": (
        Step("by", "judge_versions", "SELECT judge_version AS id, judge AS note FROM mine"),
        PROMPT,
        Step(
            "of",
            "candidates",
            """SELECT candidates.id, model_id AS note FROM candidates
JOIN mine ON candidates.id IN (mine.candidate_id, mine.opponent_id)""",
        ),
        Step("read from", "responses", "SELECT unnest(response_ids) AS id, '' AS note FROM mine"),
        Step(
            "by the principle",
            "principles",
            """SELECT principle AS id, '' AS note
FROM (SELECT try_cast(raw_output AS JSON) ->> '$.principle' AS principle FROM mine)
WHERE principle IS NOT NULL""",
        ),
        Step("sampled by", "models", SAMPLER.format("mine.candidate_id, mine.opponent_id")),
    ),
    "candidates": (
        PROMPT,
        Step("sampled by", "models", "SELECT model_id AS id, 'sampler' AS note FROM mine"),
    ),
    "revisions": (
        PROMPT,
        Step(
            "mended by the principle",
            "principles",
            "SELECT principle AS id, model AS note FROM mine WHERE principle IS NOT NULL",
        ),
        Step(
            "mends",
            "revisions",
            "SELECT parent_id AS id, '' AS note FROM mine WHERE parent_id IS NOT NULL",
        ),
        Step("read from", "responses", "SELECT unnest(response_ids) AS id, '' AS note FROM mine"),
    ),
    "prompts": (
        Step(
            "read from",
            "prompt_sets",
            """SELECT prompt_sets.id, source AS note
FROM prompt_sets JOIN mine ON list_contains(prompt_ids, mine.id)""",
        ),
    ),
    "judge_versions": (
        Step(
            "asks",
            "models",
            "SELECT model_id AS id, 'judge' AS note FROM judge_models "
            "JOIN mine ON judge_version = mine.id",
        ),
        Step(
            "by the principle",
            "judgements",
            """SELECT id, note FROM (
    SELECT judgements.id, try_cast(raw_output AS JSON) ->> '$.principle' AS note
    FROM judgements JOIN mine ON judge_version = mine.id WHERE starts_with(raw_output, '{')
) WHERE note IS NOT NULL""",
        ),
    ),
}
