"""What the audit page opens: one pair with its votes, one model with what it stands on."""

from dataclasses import dataclass
from typing import Any

from rlhf_core.store.audit import Snapshot

Row = dict[str, Any]
MODELS_SHOWN = 60


@dataclass(frozen=True)
class PairDetail:
    pair: Row
    prompt: Row | None
    first: Row | None
    """The candidate that was chosen; the left one of a tie or an unscored pair."""
    second: Row | None
    votes: list[Row]
    """Every judgement of either answer alone, or of both; `counted` says which made the label."""
    responses: dict[str, str]
    """What judges' models wrote, by id; the votes' `response_ids` name them."""
    models: list[Row]
    """Models that learnt from the pair's ranking or its prompt; `learnt_from` names the table."""


@dataclass(frozen=True)
class ModelDetail:
    model: Row
    models: list[Row]
    """The model, those it stands on and those that stand on it; those before it have depth < 0."""
    sources: list[tuple[str, str, str]]
    """Edges between them: the later model, the earlier one, and how, as in model_sources."""
    inputs: dict[str, dict[str, int]]
    """By model, how many rows of which table it learnt from."""
    judges: dict[str, list[tuple[str, int]]]
    """By model, the judge versions behind its rankings, with how many pairs each had a say in."""


def pair_detail(snapshot: Snapshot, pair_id: str) -> PairDetail | None:
    pair = _one(snapshot, "pairs", pair_id)
    if pair is None:
        return None
    first = pair["chosen_id"] or pair["left_id"]
    second = pair["rejected_id"] or pair["right_id"]
    votes = snapshot.ask(
        "SELECT id, judge, judge_version, candidate_id, opponent_id, presented, outcome, score, "
        "probability, reason, raw_output, response_ids, cost_usd, run_id, created_at, "
        "list_contains($counted, id) AS counted FROM judgements "
        "WHERE candidate_id IN ($first, $second) "
        "AND (opponent_id IS NULL OR opponent_id IN ($first, $second)) "
        "ORDER BY judge_version, presented, candidate_id, created_at",
        {"first": first, "second": second, "counted": pair["judgement_ids"]},
    ).as_dicts()
    models = snapshot.ask(
        "SELECT DISTINCT models.id, kind, input_table AS learnt_from, models.created_at "
        "FROM model_inputs JOIN models ON models.id = model_inputs.model_id "
        "WHERE input_id IN ($ranking, $prompt) AND role = 'learnt' "
        "ORDER BY models.created_at, models.id",
        {"ranking": pair["ranking_id"], "prompt": pair["prompt_id"]},
    ).as_dicts()
    said = snapshot.ask(
        "SELECT id, text FROM responses WHERE id IN (SELECT unnest($ids))",
        {"ids": [name for vote in votes for name in vote["response_ids"] or []]},
    ).rows
    return PairDetail(
        pair,
        _one(snapshot, "prompts", pair["prompt_id"]),
        _one(snapshot, "candidates", first),
        _one(snapshot, "candidates", second),
        votes,
        dict(said),
        models,
    )


def model_list(snapshot: Snapshot) -> list[Row]:
    """The newest models, with what came of them where they were put up for promotion."""
    return snapshot.ask(
        "SELECT models.id, models.kind, base, models.created_at, models.run_id, promoted "
        "FROM models LEFT JOIN promotions ON policy_id = models.id "
        "ORDER BY models.created_at DESC, models.id LIMIT 500"
    ).as_dicts()


# Whose answers were ranked is told by the rankings; most often it is the parent.
_SOURCES = (
    "SELECT model_id AS later, source_id AS earlier, relation FROM model_sources "
    "WHERE relation <> 'sampler'"
)
# The depth is bounded, so a cycle in the facts ends the walk instead of the process.
_AROUND = f"""
WITH RECURSIVE edges AS MATERIALIZED ({_SOURCES}),
up AS (
    SELECT $model AS id, 0 AS depth
    UNION SELECT earlier, depth - 1 FROM up JOIN edges ON later = up.id WHERE depth > -30
), down AS (
    SELECT $model AS id, 0 AS depth
    UNION SELECT later, depth + 1 FROM down JOIN edges ON earlier = down.id WHERE depth < 30
)
SELECT models.id, kind, base, models.created_at, min(depth) FILTER (depth <= 0) AS before,
       max(depth) FILTER (depth >= 0) AS after
FROM (FROM up UNION FROM down) AS around JOIN models ON models.id = around.id
GROUP BY models.id, kind, base, models.created_at
ORDER BY abs(coalesce(before, after)), models.created_at LIMIT $limit
"""


def model_detail(snapshot: Snapshot, model_id: str) -> ModelDetail | None:
    model = _one(snapshot, "models", model_id)
    if model is None:
        return None
    models = snapshot.ask(_AROUND, {"model": model_id, "limit": MODELS_SHOWN}).as_dicts()
    for row in models:
        before, after = row.pop("before"), row.pop("after")
        row["depth"] = after if before is None else before
    ids = {"ids": [row["id"] for row in models]}
    sources = snapshot.ask(
        f"SELECT DISTINCT later, earlier, relation FROM ({_SOURCES}) "
        "WHERE later IN (SELECT unnest($ids)) AND earlier IN (SELECT unnest($ids)) ORDER BY ALL",
        ids,
    ).rows
    inputs: dict[str, dict[str, int]] = {}
    for name, table, rows in snapshot.ask(
        "SELECT model_id, input_table, count(*) FROM model_inputs "
        "WHERE model_id IN (SELECT unnest($ids)) AND input_table <> 'models' "
        "AND role <> 'left_out' "
        "GROUP BY ALL ORDER BY ALL",
        ids,
    ).rows:
        inputs.setdefault(name, {})[table] = rows
    judges: dict[str, list[tuple[str, int]]] = {}
    for name, judge, pairs in snapshot.ask(
        "SELECT model_id, judge, count(*) FROM (SELECT model_id, unnest(judge_versions) AS judge "
        "FROM model_inputs JOIN pairs ON input_table = 'rankings' AND ranking_id = input_id "
        "WHERE model_id IN (SELECT unnest($ids))) GROUP BY ALL ORDER BY ALL",
        ids,
    ).rows:
        judges.setdefault(name, []).append((judge, pairs))
    return ModelDetail(model, models, [tuple(row) for row in sources], inputs, judges)


def _one(snapshot: Snapshot, table: str, row_id: str) -> Row | None:
    found = snapshot.ask(f"SELECT * FROM {table} WHERE id = $id LIMIT 1", {"id": row_id}).as_dicts()
    return found[0] if found else None
