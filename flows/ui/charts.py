"""Charts as ECharts options. Everything is drawn on a canvas, so no text becomes an element."""

import datetime
import math
from collections.abc import Sequence
from typing import Any

from flows.terminal.screen import shown
from rlhf_core.store.lineage.graph import LineageGraph

CHARTS = ("bar", "line", "scatter")
MOST_POINTS = 2000
INK = "#8792a5"  # readable on both grounds
LINE = "#8792a544"
# White is readable on each.
COLOURS = {
    "base": "#5b6675",
    "endpoint": "#5b6675",
    "sft": "#2d6da9",
    "reward": "#96600f",
    "policy": "#1f7a52",
}
OTHER = "#5b6675"
FRAME = "#e8a33d"
LINES = {"parent": "solid", "base": "solid", "input": "dashed"}
"""By relation, as in model_sources; the others are dotted."""
COLUMN_WIDTH, ROW_HEIGHT = 230, 84


def is_number(cell: Any) -> bool:
    return (
        isinstance(cell, int | float) and not isinstance(cell, bool) and math.isfinite(float(cell))
    )


def chart(kind: str, x: Sequence[Any], y: Sequence[Any], names: tuple[str, str]) -> dict[str, Any]:
    """Points of two columns; x is an axis of numbers where all are, of names else."""
    points = [(a, b) for a, b in zip(x, y, strict=True) if is_number(b)][:MOST_POINTS]
    has_numbers = kind != "bar" and bool(points) and all(is_number(a) for a, _ in points)
    axis = {"nameTextStyle": {"color": INK}, "axisLabel": {"color": INK},
            "splitLine": {"lineStyle": {"color": LINE}}}  # fmt: skip
    labels = [_label(a) for a, _ in points]
    values = [[a, b] for a, b in points] if has_numbers else [b for _, b in points]
    across = (
        {"type": "value", "scale": True} if has_numbers else {"type": "category", "data": labels}
    )
    return {
        "animation": False,
        "tooltip": {"trigger": "item", "renderMode": "richText"},
        "grid": {"left": 60, "right": 24, "top": 36, "bottom": 52},
        "xAxis": {**axis, **across, "name": shown(names[0]), "nameLocation": "middle",
                  "nameGap": 30},
        "yAxis": {**axis, "type": "value", "scale": kind != "bar", "name": shown(names[1])},
        "series": [{"type": kind, "data": values, "itemStyle": {"color": COLOURS["sft"]},
                    "symbolSize": 6}],
    }  # fmt: skip


def _label(cell: Any) -> str:
    if isinstance(cell, datetime.datetime):
        return f"{cell:%Y-%m-%d %H:%M}"
    text = shown(cell[:25] if isinstance(cell, str) else cell)
    return text if len(text) <= 24 else f"{text[:23]}…"


def lineage(found: LineageGraph, model_id: str) -> dict[str, Any]:
    """Models from the earliest, at the left, to the latest, with what each learnt from.

    Args:
        found: The models, and what led to what.
        model_id: The one that is asked about, which is framed.
    """
    depths = sorted({row["depth"] for row in found.models})
    seen: dict[int, int] = {}
    nodes = []
    for row in found.models:
        place = seen[row["depth"]] = seen.get(row["depth"], -1) + 1
        is_asked = row["id"] == model_id
        nodes.append(
            {
                "id": row["id"],
                "name": shown(row["id"]),
                "x": depths.index(row["depth"]) * COLUMN_WIDTH,
                "y": place * ROW_HEIGHT,
                "symbol": "roundRect",
                "symbolSize": [190, 62],
                "itemStyle": {
                    "color": COLOURS.get(row["kind"], OTHER),
                    "borderColor": FRAME if is_asked else "transparent",
                    "borderWidth": 4,
                },
                "label": {"show": True, "color": "#fff", "fontSize": 11, "lineHeight": 15,
                          "formatter": _node_text(found, row)},
            }
        )  # fmt: skip
    return {
        "animation": False,
        "series": [
            {
                "type": "graph",
                "layout": "none",
                "left": 112,
                "right": 112,
                "roam": True,
                "edgeSymbol": ["none", "arrow"],
                "edgeSymbolSize": 8,
                "data": nodes,
                "links": _links(found, depths),
                "lineStyle": {"color": INK, "width": 2},
                "emphasis": {"disabled": True},
            }
        ],
    }


def _node_text(found: LineageGraph, row: dict[str, Any]) -> str:
    """Name, counts, taint. Braces would be ECharts' own place holders."""
    name = shown(row["id"])
    short = name if len(name) <= 28 else f"{name[:27]}…"
    counts = ", ".join(f"{n:,} {table}" for table, n in found.inputs.get(row["id"], {}).items())
    tainted = found.tainted.get(row["id"])
    lines = [short, shown(counts), f"retracted rows: {tainted:,}" if tainted else ""]
    return "\n".join(line for line in lines if line).replace("{", "(").replace("}", ")")


def _links(found: LineageGraph, depths: list[int]) -> list[dict[str, Any]]:
    """Straight to the next column; else, or beside another between the same two, in a bow."""
    columns = {row["id"]: depths.index(row["depth"]) for row in found.models}
    seen: dict[tuple[str, str], int] = {}
    links = []
    for later, earlier, relation in found.sources:
        beside = seen[later, earlier] = seen.get((later, earlier), -1) + 1
        is_far = columns[later] - columns[earlier] > 1
        line = {"type": LINES.get(relation, "dotted"), "curveness": 0.2 * (beside + is_far)}
        links.append({"source": earlier, "target": later, "lineStyle": line})
    return links
