"""The graph of models around one model: those that it rests on, and those that rest on it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rlhf_core.store.lineage.tree import EDGES, TAINTED_ROWS, anything_retracted
from rlhf_core.store.snapshot import Snapshot

MODELS_SHOWN = 60
FARTHEST = 30
"""Most steps to either side. The bound ends the walk if the facts have a cycle."""


@dataclass(frozen=True)
class LineageGraph:
    models: list[dict[str, Any]]
    """The model and those nearest to it; earlier models have a depth below 0."""
    sources: list[tuple[str, str, str]]
    """Edges between them: later model, earlier model, and relation, as in model_sources."""
    inputs: dict[str, dict[str, int]]
    """Number of rows that each model learnt from, by model and table."""
    judges: dict[str, list[tuple[str, int]]]
    """Judge versions behind each model's rankings, with the number of pairs each judged."""
    tainted: dict[str, int]
    """Number of tainted rows that each model and those behind it learnt from, by model; a model
    without any is missing."""


def lineage_graph(snapshot: Snapshot, model_id: str) -> LineageGraph:
    edges = snapshot.query(EDGES).rows
    depths = {
        **_distances(model_id, ((earlier, later) for later, earlier, _ in edges)),
        **{
            name: -distance
            for name, distance in _distances(
                model_id, ((later, earlier) for later, earlier, _ in edges)
            ).items()
        },
    }
    models = snapshot.query(
        "SELECT id, kind, base, created_at FROM models WHERE id IN (SELECT unnest($ids)) "
        "ORDER BY created_at, id",
        {"ids": list(depths)},
    ).as_dicts()
    for row in models:
        row["depth"] = depths[row["id"]]
    models = sorted(models, key=lambda row: abs(row["depth"]))[:MODELS_SHOWN]
    near = {row["id"] for row in models}
    ids = {"ids": sorted(near)}
    inputs: dict[str, dict[str, int]] = {}
    for name, table, rows in snapshot.query(
        "SELECT model_id, input_table, count(*) FROM model_inputs "
        "WHERE model_id IN (SELECT unnest($ids)) AND input_table <> 'models' "
        "AND role <> 'left_out' "
        "GROUP BY ALL ORDER BY ALL",
        ids,
    ).rows:
        inputs.setdefault(name, {})[table] = rows
    judges: dict[str, list[tuple[str, int]]] = {}
    for name, judge, pairs in snapshot.query(
        "SELECT model_id, judge, count(*) FROM (SELECT model_id, unnest(judge_versions) AS judge "
        "FROM model_inputs JOIN pairs ON input_table = 'rankings' AND ranking_id = input_id "
        "WHERE model_id IN (SELECT unnest($ids))) GROUP BY ALL ORDER BY ALL",
        ids,
    ).rows:
        judges.setdefault(name, []).append((judge, pairs))
    sources = [tuple(edge) for edge in edges if edge[0] in near and edge[1] in near]
    return LineageGraph(models, sources, inputs, judges, tainted_rows(snapshot))


def tainted_rows(snapshot: Snapshot) -> dict[str, int]:
    """Return the number of tainted rows that each model, or one behind it, learnt from."""
    return dict(snapshot.query(TAINTED_ROWS).rows) if anything_retracted(snapshot) else {}


def _distances(start: str, edges: Iterable[tuple[str, str]]) -> Mapping[str, int]:
    """Return the length of the longest path from a model to each reachable one; 0 to itself."""
    further: dict[str, list[str]] = {}
    for one, other in edges:
        further.setdefault(one, []).append(other)
    distances, here = {start: 0}, {start}
    for distance in range(1, FARTHEST + 1):
        here = {other for one in here for other in further.get(one, ())}
        distances |= dict.fromkeys(here, distance)
    return distances
