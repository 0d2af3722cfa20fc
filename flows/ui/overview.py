"""Page: the store's contents, the judges and costs, the newest runs and promotions."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from nicegui import ui

from flows.ui.parts import box, frame, load, snapshot_age, soon, words
from flows.ui.source import Source
from flows.ui.tables import table
from rlhf_core.store import Snapshot
from rlhf_core.store.audit.pages import (
    Row,
    costs,
    judge_summaries,
    recent_promotions,
    recent_runs,
    table_counts,
)

UNITS = {"cost usd": "cost, USD", "seconds": "time, s", "median latency seconds": "median time, s"}
NO_RUN = "Nothing ran yet: `solon run deploy/configs/smoke.yaml` takes a minute and fills it."


def register(source: Source) -> None:
    @ui.page("/")
    async def overview(request: Request) -> None:
        with frame(request, "Overview", "/"), box() as place:
            await soon(load(place, lambda: _draw(source)))


async def _draw(source: Source) -> None:
    gathered = await source.ask(_read_overview)
    snapshot_age(source)
    _tiles(gathered["tables"])
    _section(
        "Judges",
        gathered["judges"],
        ["judge", "judge_version", "judgements", "unscored", "mean_score", "score_deviation",
         "tie_rate", "median_latency_seconds", "cost_usd"],
        {1: judged_path},
        empty="No judge was asked yet.",
    )  # fmt: skip
    _section(
        "Costs",
        gathered["costs"],
        ["work", "by_whom", "cost_usd", "tokens"],
        empty="Nothing was sampled or judged yet.",
    )
    _section(
        "Newest runs",
        gathered["runs"],
        ["run_id", "line", "cycle", "ended_at", "stages", "seconds"],
        {0: lambda run: f"/pairs?{urlencode({'run_id': run})}"},
        empty=NO_RUN,
    )
    words("h2", "Newest promotions")
    table(
        "promotions",
        ["decided at", "line", "cycle", "policy", "decision", "reasons"],
        [
            (
                row["created_at"],
                row["line"],
                row["cycle"],
                row["policy_id"],
                row["decision"],
                "; ".join(row["reasons"]),
            )
            for row in gathered["promotions"]
        ],
        links={3: model_path},
        empty="No cycle came to its decision yet.",
    )


def model_path(model_id: object) -> str:
    return f"/models/{quote(str(model_id), safe='')}"


def pair_path(pair_id: object) -> str:
    """Return the path of a pair's page; any value of an SQL column `pair_id` works too."""
    return f"/pairs/{quote(str(pair_id), safe='')}"


def judged_path(judge_version: str) -> str:
    """Return the path of the list of pairs that a judge voted on."""
    return f"/pairs?{urlencode({'judge_version': judge_version})}"


def _read_overview(snapshot: Snapshot) -> dict[str, list[Row]]:
    return {
        "tables": table_counts(snapshot),
        "judges": judge_summaries(snapshot),
        "costs": costs(snapshot),
        "runs": recent_runs(snapshot),
        "promotions": recent_promotions(snapshot),
    }


def _tiles(tables: list[Row]) -> None:
    """Draw a tile for each table with rows, and name the empty tables below."""
    with box("dl", "tiles"):
        for row in tables:
            if row["rows"]:
                with box("div", "tile") as tile:
                    tile.props["title"] = row["comment"]
                    words("dt", row["table_name"].replace("_", " "))
                    words("dd", f"{row['rows']:,}")
    empty = [row["table_name"].replace("_", " ") for row in tables if not row["rows"]]
    if empty:
        words("p", f"Empty: {', '.join(empty)}.", "soft")


def _section(
    title: str,
    rows: list[Row],
    columns: list[str],
    links: dict[int, Callable[[Any], str]] | None = None,
    empty: str = "",
) -> None:
    words("h2", title)
    names = [name.replace("_", " ") for name in columns]
    table(
        title.lower(),
        [UNITS.get(name, name) for name in names],
        [[_join_list(row[name]) for name in columns] for row in rows],
        links,
        empty,
    )


def _join_list(cell: Any) -> Any:
    return ", ".join(map(str, cell)) if isinstance(cell, list) else cell
