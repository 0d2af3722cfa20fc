"""The relations between facts, each written once and read in both directions.

The order of relations is the order of branches in a tree: up among those of one later table, down
among those of one earlier table.
"""

from rlhf_core.store.lineage.steps import (
    Names,
    Relation,
    Step,
    linked,
    lists,
    meets,
    only_down,
    only_up,
    refers,
)

MINE = {
    "judge_versions": "SELECT $id AS id",
    **{
        table: f"SELECT * FROM {table} WHERE id = $id"
        for table in (
            *("models", "prompts", "candidates", "judgements", "rankings", "pairs", "revisions"),
            *("evaluations", "promotions"),
        )
    },
}
"""Query for the row that a walk starts at, by table."""
MODELS = "SELECT * FROM models WHERE id IN (SELECT unnest($models))"
"""Query for the models that steps are taken from together."""

PRINCIPLE = "try_cast({}.raw_output AS JSON) ->> '$.principle'"
HAS_PRINCIPLE = (
    f"starts_with(earlier.raw_output, '{{') AND ({PRINCIPLE.format('earlier')}) IS NOT NULL"
)
SAMPLERS = """SELECT candidates.model_id AS id, 'sampler' AS note
FROM candidates JOIN mine ON candidates.id IN ({})"""
SIDE = """CASE earlier.id WHEN later.chosen_id THEN 'chosen' WHEN later.rejected_id THEN 'rejected'
ELSE later.outcome END"""


RANKINGS_OF_JUDGE = """SELECT DISTINCT ranking_id AS id, '' AS note
FROM pairs JOIN mine ON list_contains(judge_versions, mine.id)"""

COMPARED = """SELECT evaluation_id AS later_id, policy_candidate_id AS earlier_id, 'policy' AS side
FROM evaluation_results UNION ALL
SELECT evaluation_id, baseline_candidate_id, 'baseline' FROM evaluation_results"""

PAIRS_OF_RANKINGS = """SELECT id, outcome AS note FROM pairs
SEMI JOIN (SELECT hash(id) AS h FROM mine) AS ranked ON h = hash(ranking_id)"""
"""Pairs of many rankings at once; comparing ids instead of hashes takes twice the time."""


def _asked(later: str, down: str, note: str = "''") -> Relation:
    return refers(later, "later.prompt_id", "prompts", Names("asked", down, down_note=note))


def _responses(later: str) -> Relation:
    sql = "SELECT unnest(response_ids) AS id, '' AS note FROM mine"
    return only_up(later, "responses", "read from", sql)


def _inputs(table: str, role: str = "learnt") -> str:
    return (
        "SELECT model_id AS later_id, input_id AS earlier_id FROM model_inputs "
        f"WHERE input_table = '{table}' AND role = '{role}'"
    )


def _judges(role: str) -> str:
    return (
        "SELECT model_id AS later_id, judge_version AS earlier_id FROM model_judges "
        f"WHERE role = '{role}'"
    )


def _taught(rankings: str) -> str:
    """Return the query for the models that learnt from some rankings."""
    return (
        "SELECT DISTINCT model_id AS id, 'input' AS note FROM model_inputs "
        f"JOIN ({rankings}) AS ranking ON input_id = ranking.id WHERE role <> 'left_out'"
    )


def _up(relation: Relation) -> Step:
    assert relation.up is not None, "it is read up"
    return relation.up


def _down(relation: Relation) -> Step:
    assert relation.down is not None, "it is read down"
    return relation.down


SAMPLED = refers(
    "candidates", "later.model_id", "models", Names("sampled by", "sampled", up_note="'sampler'")
)
JUDGEMENT_OF_JUDGE = refers(
    "judgements",
    "later.judge_version",
    "judge_versions",
    Names("by", "gave", "later.judge", "later.outcome"),
)
JUDGED = meets(
    "judgements",
    "candidates",
    "earlier.prompt_id = later.prompt_id AND earlier.id IN (later.candidate_id, later.opponent_id)",
    Names("of", "judged by", "earlier.model_id", "later.judge_version"),
)
RANKED = lists(
    "rankings", "candidate_ids", "candidates", Names("candidates", "ranked in", "earlier.model_id")
)
RANKED_BY = lists(
    "rankings",
    "judgement_ids",
    "judgements",
    Names("judged by", "ranked in", "earlier.judge_version"),
)
PAIRED = refers(
    "pairs", "later.ranking_id", "rankings", Names("of", "as pairs", down_note="later.outcome")
)
DECIDED = meets(
    "promotions",
    "evaluations",
    "earlier.id = later.evaluation_id",
    Names("decided by", "decided", "earlier.judge_version", "later.policy_id"),
)

RELATIONS = (
    meets(
        "prompts",
        "prompt_sets",
        "list_contains(earlier.prompt_ids, later.id)",
        Names("read from", up_note="earlier.source"),
    ),
    # Candidates.
    _asked("candidates", "answered by", "later.model_id"),
    SAMPLED,
    # Judgements.
    JUDGEMENT_OF_JUDGE,
    _asked("judgements", "judged by", "later.judge_version"),
    JUDGED,
    _responses("judgements"),
    refers("judgements", PRINCIPLE.format("later"), "principles", Names("by the principle")),
    only_up(
        "judgements", "models", "sampled by", SAMPLERS.format("mine.candidate_id, mine.opponent_id")
    ),
    # Rankings.
    _asked("rankings", "ranked in"),
    RANKED,
    RANKED_BY,
    lists(
        "rankings",
        "judgement_ids",
        "judgements",
        Names("by the principle", up_note=PRINCIPLE.format("earlier")),
        HAS_PRINCIPLE,
    ),
    only_up("rankings", "pairs", "as pairs", PAIRS_OF_RANKINGS),
    refers("rankings", "later.model_id", "models", Names("sampled by", up_note="'sampler'")),
    only_down("rankings", "judge_versions", "ranked in", RANKINGS_OF_JUDGE),
    # Pairs.
    _asked("pairs", "in", "later.outcome"),
    meets(
        "pairs",
        "candidates",
        "earlier.prompt_id = later.prompt_id AND earlier.id IN (later.left_id, later.right_id)",
        Names("of", "in", SIDE, "later.outcome"),
    ),
    PAIRED,
    lists(
        "pairs",
        "judgement_ids",
        "judgements",
        Names("judged by", "in", "earlier.judge_version", "later.outcome"),
    ),
    lists(
        "pairs",
        "judgement_ids",
        "judgements",
        Names("by the principle", up_note=PRINCIPLE.format("earlier")),
        HAS_PRINCIPLE,
    ),
    only_up("pairs", "models", "sampled by", SAMPLERS.format("mine.left_id, mine.right_id")),
    meets(
        "pairs",
        "judge_versions",
        "list_contains(later.judge_versions, earlier.id)",
        Names(down="decided in", down_note="later.outcome"),
    ),
    # Revisions.
    _asked("revisions", "revised as", "coalesce(later.principle, '')"),
    refers(
        "revisions",
        "later.principle",
        "principles",
        Names("revised by the principle", up_note="later.model"),
    ),
    refers(
        "revisions",
        "later.parent_id",
        "revisions",
        Names("revises", "revised to", down_note="coalesce(later.principle, '')"),
    ),
    _responses("revisions"),
    # Judges.
    linked(
        "judge_versions",
        "models",
        "SELECT judge_version AS later_id, model_id AS earlier_id FROM judge_models",
        Names("calls", "is called by", up_note="'judge'"),
    ),
    meets(
        "judge_versions",
        "judgements",
        f"earlier.judge_version = later.id AND {HAS_PRINCIPLE}",
        Names("by the principle", up_note=PRINCIPLE.format("earlier")),
    ),
    # Models, and what they learnt from.
    linked("models", "prompts", _inputs("prompts"), Names("learnt from")),
    linked("models", "prompts", _inputs("prompts", "chosen_on"), Names("weights chosen on")),
    linked("models", "prompts", _inputs("prompts", "normalised_on"), Names("rewards centred by")),
    linked(
        "models",
        "prompts",
        "SELECT model_id AS later_id, prompt_id AS earlier_id FROM model_prompts",
        Names(down="taught", down_note="'input'"),
    ),
    linked(
        "models",
        "rankings",
        _inputs("rankings"),
        Names("learnt from", "taught", down_note="'input'"),
    ),
    linked("models", "pairs", _inputs("pairs", "left_out"), Names("without")),
    only_down(
        "models",
        "pairs",
        "taught",
        f"{_taught('SELECT ranking_id AS id FROM mine')} AND model_id NOT IN "
        "(SELECT model_id FROM model_inputs JOIN mine ON input_id = mine.id "
        "WHERE role = 'left_out')",
    ),
    linked(
        "models",
        "revisions",
        "SELECT model_id AS later_id, input_id AS earlier_id, principle FROM model_inputs "
        "JOIN revisions ON revisions.id = input_id "
        "WHERE input_table = 'revisions' AND role = 'learnt'",
        Names("learnt from", "taught", "coalesce(principle, '')", "'input'"),
    ),
    only_down("models", "candidates", "taught", _taught(_down(RANKED).sql)),
    only_down("models", "judgements", "taught", _taught(_down(RANKED_BY).sql)),
    linked(
        "models",
        "judgements",
        _inputs("judgements"),
        Names(
            "learnt what it does not know by", "taught what it does not know", down_note="'input'"
        ),
    ).then(_up(JUDGEMENT_OF_JUDGE), _up(JUDGED)),
    linked("models", "files", _inputs("files"), Names("learnt from")),
    linked("models", "judge_versions", _judges("reward"), Names("rewarded by")),
    linked(
        "models",
        "rollout_verdicts",
        "SELECT model_id AS later_id, id AS earlier_id, judge_version FROM rollout_verdicts "
        "WHERE role = 'reward'",
        Names("rewarded by the verdicts", up_note="judge_version"),
    ),
    linked("models", "judge_versions", _judges("evaluation"), Names("evaluated by")),
    only_down(
        "models",
        "judge_versions",
        "taught",
        f"{_taught(RANKINGS_OF_JUDGE)} UNION SELECT model_id, role FROM model_judges "
        "JOIN mine ON judge_version = mine.id WHERE role IN ('reward', 'judgements')",
    ),
    # Evaluations, promotions, and the models trained from promoted policies.
    refers(
        "evaluations",
        "later.judge_version",
        "judge_versions",
        Names("by", "evaluated", "later.judge", "later.policy_id"),
    ),
    refers(
        "evaluations",
        "later.policy_id",
        "models",
        Names("of", "evaluated in", "'policy'", "later.judge"),
    ),
    refers("evaluations", "later.baseline_id", "models", Names("against", up_note="'baseline'")),
    linked("evaluations", "candidates", COMPARED, Names("compares", "compared in", "side", "side")),
    DECIDED,
    refers(
        "promotions",
        "later.policy_id",
        "models",
        Names("promoted or refused", "promoted in", "'policy'"),
        down_where="later.promoted",
    ),
    linked(
        "models",
        "promotions",
        "SELECT model_id AS later_id, promotion_id AS earlier_id, policy_id FROM model_promotions",
        Names("continues the policy promoted in", "continued by", "policy_id", "'begun'"),
    ).then(_up(DECIDED)),
    linked(
        "models",
        "evaluations",
        "SELECT model_id AS later_id, evaluation_id AS earlier_id FROM model_promotions",
        Names(down="continued by", down_note="'begun'"),
    ),
)

UP: dict[str, tuple[Step, ...]] = {
    table: tuple(one.up for one in RELATIONS if one.later == table and one.up) for table in MINE
}
"""The steps to what a row came from, by its table."""
DOWN: dict[str, tuple[Step, ...]] = {
    table: tuple(one.down for one in RELATIONS if one.earlier == table and one.down)
    for table in MINE
}
"""The steps to what came of a row, by its table."""
ALL_BEHIND = Step(
    "all behind it",
    "rankings",
    "SELECT DISTINCT input_id AS id, '' AS note FROM model_inputs "
    "WHERE input_table = 'rankings' AND model_id IN (SELECT unnest($models))",
    further=tuple(step for step in UP["rankings"] if step.table != "models"),
)
"""The rankings of several models at once, so that shared ones count once."""
