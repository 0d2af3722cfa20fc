"""Page: what the store holds, what judges did and cost, what ran and was promoted last."""

from typing import Any
from urllib.parse import quote

from fastapi import Request
from nicegui import ui

from flows.ui.parts import box, frame, load, snapshot_age, table, words
from flows.ui.source import Source
from rlhf_core.store import Snapshot
from rlhf_core.store.pages import (
    Row,
    costs,
    judge_summaries,
    recent_promotions,
    recent_runs,
    table_counts,
)


def register(source: Source) -> None:
    @ui.page("/")
    def overview(request: Request) -> None:
        with frame(request, "Overview", "/"), box() as place:
            load(place, lambda: _draw(source))


async def _draw(source: Source) -> None:
    found = await source.ask(_gathered)
    snapshot_age(source)
    with box("dl", "tiles"):
        for row in found["tables"]:
            with box("div", "tile") as tile:
                tile.props["title"] = row["comment"]
                words("dt", row["table_name"].replace("_", " "))
                words("dd", f"{row['rows']:,}")
    _section(
        "Judges",
        "judge summaries",
        found["judges"],
        ["judge", "judge_version", "judgements", "unscored", "mean_score", "score_deviation",
         "tie_rate", "median_latency_seconds", "cost_usd"],
    )  # fmt: skip
    _section("Costs", "costs", found["costs"], ["work", "by_whom", "cost_usd", "tokens"])
    _section("Newest runs", "runs", found["runs"], ["run_id", "ended_at", "stages", "seconds"])
    words("h2", "Newest promotions")
    table(
        "promotions",
        ["decided at", "cycle", "policy", "decision", "reasons"],
        [
            (
                row["created_at"],
                row["cycle"],
                row["policy_id"],
                "promoted" if row["promoted"] else "refused",
                "; ".join(row["reasons"]),
            )
            for row in found["promotions"]
        ],
        links={2: model_path},
    )


def model_path(model_id: str) -> str:
    return f"/models/{quote(model_id, safe='')}"


def _gathered(snapshot: Snapshot) -> dict[str, list[Row]]:
    return {
        "tables": table_counts(snapshot),
        "judges": judge_summaries(snapshot),
        "costs": costs(snapshot),
        "runs": recent_runs(snapshot),
        "promotions": recent_promotions(snapshot),
    }


def _section(title: str, label: str, rows: list[Row], columns: list[str]) -> None:
    words("h2", title)
    table(
        label,
        [name.replace("_", " ") for name in columns],
        [[_joined(row[name]) for name in columns] for row in rows],
    )


def _joined(cell: Any) -> Any:
    return ", ".join(map(str, cell)) if isinstance(cell, list) else cell
