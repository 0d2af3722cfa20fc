"""The models around one model: those that it stands on, and those that stand on it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rlhf_core.store.lineage.tree import EDGES, TAINTED_ROWS, anything_retracted
from rlhf_core.store.snapshot import Snapshot

MODELS_SHOWN = 60
FARTHEST = 30
"""Steps to either side. A bound, so that a cycle in the facts ends the walk."""


@dataclass(frozen=True)
class LineageGraph:
    models: list[dict[str, Any]]
    """The model and the nearest around it; those before it have depth < 0."""
    sources: list[tuple[str, str, str]]
    """Edges between them: the later model, the earlier one, and how, as in model_sources."""
    inputs: dict[str, dict[str, int]]
    """By model, how many rows of which table it learnt from."""
    judges: dict[str, list[tuple[str, int]]]
    """By model, the judge versions behind its rankings, with how many pairs each had a say in."""
    tainted: dict[str, int]
    """By model, how many rows it and the models behind it learnt from that are not relied on any
    more; none where there are none."""


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
    """How many rows each model learnt from, itself or by those behind it, that are tainted."""
    return dict(snapshot.query(TAINTED_ROWS).rows) if anything_retracted(snapshot) else {}


def _distances(start: str, edges: Iterable[tuple[str, str]]) -> Mapping[str, int]:
    """Steps of the longest way from a model to each that edges lead to; 0 to itself."""
    further: dict[str, list[str]] = {}
    for one, other in edges:
        further.setdefault(one, []).append(other)
    found, here = {start: 0}, {start}
    for distance in range(1, FARTHEST + 1):
        here = {other for one in here for other in further.get(one, ())}
        found |= dict.fromkeys(here, distance)
    return found
