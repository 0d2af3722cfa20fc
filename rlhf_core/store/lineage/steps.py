"""From a fact one step up, to what it came from, or one step down, to what came of it.

Each step is SQL over `mine`, the rows stood on, and gives the ids it leads to with a note to count
them by; from models, whose steps are taken from many at once, with the model's id too. Models lead
to models by the view model_sources, not here.
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
    "evaluations": "SELECT * FROM evaluations WHERE id = $id",
    "promotions": "SELECT * FROM promotions WHERE id = $id",
}
"""What is stood on first, by table."""
MODELS = "SELECT * FROM models WHERE id IN (SELECT unnest($models))"
"""The models stood on together."""

SAMPLER = """SELECT candidates.model_id AS id, 'sampler' AS note
FROM candidates JOIN mine ON candidates.id IN ({})"""
PROMPT = Step("asked", "prompts", "SELECT DISTINCT prompt_id AS id, '' AS note FROM mine")
USED = "SELECT hash(unnest(judgement_ids)) AS h FROM mine"
"""The judgements of rankings or pairs, by the hash of their ids, which takes half the time of
the ids themselves and mistakes one in 10^12; steps from these may read it as `used`."""
WITH_JUDGEMENTS = ("rankings", "pairs")
JUDGED = Step(
    "judged by",
    "judgements",
    "SELECT id, judge_version AS note FROM judgements SEMI JOIN used ON h = hash(id)",
)
PRINCIPLED = Step(
    "by the principle",
    "judgements",
    """SELECT id, note FROM (
    SELECT id, try_cast(raw_output AS JSON) ->> '$.principle' AS note
    FROM judgements SEMI JOIN used ON h = hash(id) WHERE starts_with(raw_output, '{')
) WHERE note IS NOT NULL""",
)
