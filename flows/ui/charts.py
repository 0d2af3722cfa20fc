"""Charts as ECharts options. Everything is drawn on a canvas, so no text becomes an element."""

import datetime
import math
from collections.abc import Sequence
from typing import Any

from flows.terminal.screen import safe_text
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
"""Line style of each relation of model_sources; all others are dotted."""
COLUMN_WIDTH, ROW_HEIGHT = 230, 84


def is_number(cell: Any) -> bool:
    return (
        isinstance(cell, int | float) and not isinstance(cell, bool) and math.isfinite(float(cell))
    )


def chart(kind: str, x: Sequence[Any], y: Sequence[Any], names: tuple[str, str]) -> dict[str, Any]:
    """Return a chart of two columns as ECharts options.

    Args:
        kind: One of CHARTS.
        x: Cells across; an axis of numbers if all of them are, else of names.
        y: Cells up; points whose cell is no number are left out.
        names: Titles of the two axes.
    """
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
        "xAxis": {**axis, **across, "name": safe_text(names[0]), "nameLocation": "middle",
                  "nameGap": 30},
        "yAxis": {**axis, "type": "value", "scale": kind != "bar", "name": safe_text(names[1])},
        "series": [{"type": kind, "data": values, "itemStyle": {"color": COLOURS["sft"]},
                    "symbolSize": 6}],
    }  # fmt: skip


def _label(cell: Any) -> str:
    if isinstance(cell, datetime.datetime):
        return f"{cell:%Y-%m-%d %H:%M}"
    text = safe_text(cell[:25] if isinstance(cell, str) else cell)
    return text if len(text) <= 24 else f"{text[:23]}…"


def lineage(graph: LineageGraph, model_id: str) -> dict[str, Any]:
    """Return the graph of a lineage as ECharts options, the earliest models at the left.

    Args:
        graph: The models, their sources and inputs.
        model_id: The model that the page is about; it gets a frame.
    """
    depths = sorted({row["depth"] for row in graph.models})
    seen: dict[int, int] = {}
    nodes = []
    for row in graph.models:
        place = seen[row["depth"]] = seen.get(row["depth"], -1) + 1
        is_asked = row["id"] == model_id
        nodes.append(
            {
                "id": row["id"],
                "name": safe_text(row["id"]),
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
                          "formatter": _node_text(graph, row)},
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
                "links": _links(graph, depths),
                "lineStyle": {"color": INK, "width": 2},
                "emphasis": {"disabled": True},
            }
        ],
    }


def _node_text(graph: LineageGraph, row: dict[str, Any]) -> str:
    """Return a node's name, counts and taint, without braces: ECharts would substitute them."""
    name = safe_text(row["id"])
    short = name if len(name) <= 28 else f"{name[:27]}…"
    counts = ", ".join(f"{n:,} {table}" for table, n in graph.inputs.get(row["id"], {}).items())
    tainted = graph.tainted.get(row["id"])
    lines = [short, safe_text(counts), f"retracted rows: {tainted:,}" if tainted else ""]
    return "\n".join(line for line in lines if line).replace("{", "(").replace("}", ")")


def _links(graph: LineageGraph, depths: list[int]) -> list[dict[str, Any]]:
    """Return the arrows: straight to the next column, curved if longer or beside another."""
    columns = {row["id"]: depths.index(row["depth"]) for row in graph.models}
    seen: dict[tuple[str, str], int] = {}
    links = []
    for later, earlier, relation in graph.sources:
        beside = seen[later, earlier] = seen.get((later, earlier), -1) + 1
        is_far = columns[later] - columns[earlier] > 1
        line = {"type": LINES.get(relation, "dotted"), "curveness": 0.2 * (beside + is_far)}
        links.append({"source": earlier, "target": later, "lineStyle": line})
    return links
