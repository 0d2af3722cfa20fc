"""From a fact one step up, to what it came from, or one step down, to what came of it.

Each step is SQL over `mine`, the rows stood on, and gives the ids it leads to with a note to count
them by. Models lead to models by the view model_sources, not here.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One relation.

    Args:
        relation: What the found rows are to the ones stood on.
        table: Where the found rows are.
        sql: Selects `id` and `note`, from `mine` among others.
        further: Steps that are taken from the found rows at once.
    """

    relation: str
    table: str
    sql: str
    further: tuple["Step", ...] = ()


MINE = {
    "judge_versions": "SELECT $id AS id",
    **{
        table: f"SELECT * FROM {table} WHERE id = $id"
        for table in ("models", "prompts", "candidates", "judgements", "rankings", "pairs")
    },
    "revisions": "SELECT * FROM revisions WHERE id = $id",
}
"""What is stood on first, by table."""

INPUTS = "(SELECT input_id AS id FROM mine JOIN model_inputs ON model_id = mine.id {}) AS inputs"
SAMPLER = """SELECT candidates.model_id AS id, 'sampler' AS note
FROM candidates JOIN mine ON candidates.id IN ({})"""
PROMPT = Step("asked", "prompts", "SELECT DISTINCT prompt_id AS id, '' AS note FROM mine")
BY_JUDGEMENTS = """SELECT judgements.id, judge_version AS note
FROM (SELECT DISTINCT unnest(judgement_ids) AS id FROM mine) AS used JOIN judgements USING (id)"""
JUDGED = Step("judged by", "judgements", BY_JUDGEMENTS)
PRINCIPLED = Step(
    "by the principle",
    "judgements",
    f"""SELECT id, note FROM (
    SELECT id, try_cast(raw_output AS JSON) ->> '$.principle' AS note
    FROM judgements SEMI JOIN ({BY_JUDGEMENTS}) AS used USING (id)
    WHERE starts_with(raw_output, '{{')
) WHERE note IS NOT NULL""",
)
BEHIND_RANKINGS = (
    PROMPT,
    Step(
        "candidates",
        "candidates",
        """SELECT candidates.id, model_id AS note
FROM (SELECT DISTINCT unnest(candidate_ids) AS id FROM mine) AS ranked
JOIN candidates USING (id)""",
    ),
    JUDGED,
    PRINCIPLED,
    Step(
        "as pairs",
        "pairs",
        "SELECT pairs.id, pairs.outcome AS note FROM pairs JOIN mine ON ranking_id = mine.id",
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


def _inputs(table: str, note: str = "''") -> str:
    source = INPUTS.format(f"AND input_table = '{table}'")
    return f"SELECT id, {note} AS note FROM {source} JOIN {table} USING (id)"


UP: dict[str, tuple[Step, ...]] = {
    "models": (
        Step("learnt from", "prompts", _inputs("prompts")),
        Step("learnt from", "rankings", _inputs("rankings")),
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
        Step(
            "learnt from",
            "files",
            "SELECT id, '' AS note FROM " + INPUTS.format("AND input_table = 'files'"),
        ),
        Step(
            "rewarded by",
            "judge_versions",
            "SELECT judge_version AS id, '' AS note FROM model_judges "
            "JOIN mine ON model_id = mine.id WHERE role = 'reward'",
        ),
        Step(
            "evaluated by",
            "judge_versions",
            "SELECT judge_version AS id, '' AS note FROM model_judges "
            "JOIN mine ON model_id = mine.id WHERE role = 'evaluation'",
        ),
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
            "by the principle",
            "judgements",
            """SELECT id, note FROM (
    SELECT judgements.id, try_cast(raw_output AS JSON) ->> '$.principle' AS note
    FROM judgements JOIN mine ON judge_version = mine.id WHERE starts_with(raw_output, '{')
) WHERE note IS NOT NULL""",
        ),
    ),
}

RANKED = """SELECT rankings.id, '' AS note FROM mine
JOIN rankings ON rankings.prompt_id = mine.prompt_id AND list_contains(rankings.{}, mine.id)"""
PAIRED = """SELECT pairs.id, pairs.outcome AS note FROM mine
JOIN pairs ON pairs.prompt_id = mine.prompt_id AND {}"""
LEARNT = "SELECT DISTINCT model_id AS id, 'input' AS note FROM model_inputs JOIN ({}) AS of_mine "
LEARNT += "ON input_id = of_mine.id"


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
    "pairs": (Step("taught", "models", LEARNT.format("SELECT ranking_id AS id FROM mine")),),
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
    "models": (
        Step(
            "sampled",
            "candidates",
            "SELECT candidates.id, '' AS note FROM candidates JOIN mine ON model_id = mine.id",
        ),
        Step(
            "evaluated in",
            "evaluations",
            "SELECT evaluations.id, evaluations.judge AS note FROM evaluations JOIN mine "
            "ON policy_id = mine.id",
        ),
    ),
}
