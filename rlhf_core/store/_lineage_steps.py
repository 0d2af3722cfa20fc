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
USED = "SELECT DISTINCT unnest(judgement_ids) AS id FROM mine"
"""The judgements of rankings or pairs; steps from these may read it as `used`."""
WITH_JUDGEMENTS = ("rankings", "pairs")
JUDGED = Step(
    "judged by",
    "judgements",
    "SELECT judgements.id, judge_version AS note FROM judgements SEMI JOIN used USING (id)",
)
PRINCIPLED = Step(
    "by the principle",
    "judgements",
    """SELECT id, note FROM (
    SELECT id, try_cast(raw_output AS JSON) ->> '$.principle' AS note
    FROM judgements SEMI JOIN used USING (id) WHERE starts_with(raw_output, '{')
) WHERE note IS NOT NULL""",
)
