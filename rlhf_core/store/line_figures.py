"""Figures of one policy line for a monitoring system: totals, last results, times of stages."""

from dataclasses import dataclass
from typing import Any

from rlhf_core.records import Evaluation
from rlhf_core.store.snapshot import Snapshot

OF_THE_LINE = "run_id IN (SELECT run_id FROM cycle_runs WHERE line = $1)"
QUERIES = {
    "candidates": f"SELECT count(*) FROM candidates WHERE {OF_THE_LINE}",
    "judgements": f"""
        SELECT judge, outcome, count(*), sum(cost_usd), sum(latency_seconds)
        FROM judgements WHERE {OF_THE_LINE} GROUP BY ALL ORDER BY ALL""",
    "pairs": f"SELECT outcome, count(*) FROM pairs WHERE {OF_THE_LINE} GROUP BY ALL ORDER BY ALL",
    "costs": f"SELECT coalesce(sum(cost_usd), 0) FROM stage_costs WHERE {OF_THE_LINE}",
    "failures": f"SELECT stage, count(*) FROM failures WHERE {OF_THE_LINE} GROUP BY stage",
    "stages": """
        SELECT stage, arg_max(seconds, created_at), epoch(max(created_at)), max(cycle)
        FROM stage_runs WHERE line = $1 GROUP BY ALL ORDER BY ALL""",
    "promotions": """
        SELECT promoted, count(*) FROM promotions WHERE line = $1 GROUP BY ALL ORDER BY ALL""",
    "champion": "SELECT cycle, refused_since FROM live_models WHERE line = $1",
    "training": """
        WITH last AS (SELECT arg_max(policy_id, cycle) AS id FROM promotions WHERE line = $1)
        SELECT name, arg_max(value, step)
        FROM metrics JOIN last ON model_id = last.id GROUP BY ALL ORDER BY ALL""",
}
"""Queries with the line's name as $1."""
EVALUATIONS = """
    WITH last AS (SELECT arg_max(evaluation_id, cycle) AS id FROM promotions WHERE line = $1),
    deciding AS (
        SELECT policy_id, baseline_id, settings
        FROM evaluations JOIN last ON evaluations.id = last.id
    )
    SELECT evaluations.* FROM evaluations JOIN deciding USING (policy_id, baseline_id, settings)
    ORDER BY role, judge"""
"""The evaluations of the line's last decision, one a judge."""


@dataclass(frozen=True)
class LineFigures:
    """Rows of each of QUERIES for one line."""

    line: str
    rows: dict[str, list[tuple[Any, ...]]]
    evaluations: list[Evaluation]
    """Evaluations of the last decision, one a judge; that which decided has the role `decides`."""
    age_seconds: float
    """Age of the snapshot that they were read from."""


def line_figures(snapshot: Snapshot, line: str) -> LineFigures:
    """Return the figures of a policy line."""
    rows = {name: snapshot.query(sql, [line]).rows for name, sql in QUERIES.items()}
    last = snapshot.query(EVALUATIONS, [line]).as_dicts()
    evaluations = [Evaluation.model_validate(row) for row in last]
    return LineFigures(line, rows, evaluations, snapshot.age_seconds)
