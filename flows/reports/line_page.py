"""The page of a line: its cycles beside each other, to compare versions over time."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from flows.champion.strengths import describe_strengths
from flows.charts import svg as charts
from flows.reports.pages import query_text, render
from rlhf_core.config import Config
from rlhf_core.files.whole import whole_text
from rlhf_core.store import Store, champions

STRENGTHS_SQL = "SELECT * FROM model_comparisons WHERE line = ? ORDER BY cycle"
FIGURES_SQL = "SELECT * FROM cycle_figures WHERE line = ? ORDER BY cycle"
CURVES: tuple[tuple[str, Callable[[dict[str, Any]], float | None]], ...] = (
    ("KL from SFT, nats", lambda row: row["kl"]),
    ("tokens an answer", lambda row: row["policy_tokens"]),
    ("pairs in order, %", lambda row: _percent(row["reward_accuracy"])),
    ("minutes", lambda row: row["seconds"] / 60 if row["seconds"] else None),
    ("US dollars", lambda row: row["cost_usd"] or None),
)
"""Label and value of each small chart; one without any value is left out."""


def write_line_page(store: Store, config: Config) -> Path | None:
    """Write the page of a line, whole or not at all.

    Args:
        store: Store of the line.
        config: Its config.

    Returns:
        Path of the page; None if no cycle of the line was decided yet.
    """
    rows = store.query(FIGURES_SQL, [config.name])
    if not rows:
        return None
    path = line_page_path(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    champion = champions.champion(store, config.name)
    strengths = describe_strengths(store, config.name, config.promotion.confidence)
    page = render(
        "line.html",
        {
            "line": config.name,
            "rows": rows,
            "champion": champion,
            "win_rates": _win_rates(rows),
            "strengths": strengths,
            "strengths_chart": _strengths(strengths["models"]),
            "curves": _curves(rows),
            "query_sql": query_text(FIGURES_SQL, [config.name]),
            "strengths_sql": query_text(STRENGTHS_SQL, [config.name]),
        },
    )
    with whole_text(path) as stream:
        stream.write(page)
    return path


def line_page_path(config: Config) -> Path:
    """Return the path of a line's page, beside those of its cycles."""
    return config.artifacts / "reports" / config.name / "index.html"


def _win_rates(rows: Sequence[dict[str, Any]]) -> Markup:
    intervals = [
        (
            row["cycle"],
            charts.Interval("", row["win_rate"], row["win_rate_low"], row["win_rate_high"]),
            row["promoted"],
        )
        for row in rows
        if row["win_rate"] is not None
    ]
    return Markup(charts.over_cycles(intervals, "win rate over the baseline"))


def _strengths(models: Sequence[dict[str, Any]]) -> Markup | None:
    """Return the plot of all models on one scale; None if there are no intervals."""
    intervals = [
        charts.Interval(_name(row), row["strength"], row["low"], row["high"])
        for row in models
        if row["low"] is not None and row["model_id"] != row["anchor_id"]
    ]
    if not intervals:
        return None
    label = "strength above the first model, in log-odds"
    return Markup(charts.numbers(intervals, label, even=0.0))


def _name(model: dict[str, Any]) -> str:
    cycle = f"cycle {model['cycle']}" if model["cycle"] else model["model_id"][:12]
    return f"{cycle}, champion" if model["is_champion"] else cycle


def _curves(rows: Sequence[dict[str, Any]]) -> list[Markup]:
    drawn = []
    for label, value in CURVES:
        points = [(row["cycle"], value(row)) for row in rows]
        known = [(cycle, number) for cycle, number in points if number is not None]
        if known:
            drawn.append(Markup(charts.line(known, label, "cycle")))
    return drawn


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
