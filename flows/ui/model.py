"""Pages: the list of models, and one model with its lineage in both directions."""

from fastapi import Request
from nicegui import ui
from nicegui.events import EChartPointClickEventArguments

from flows.ui.charts import COLUMN_WIDTH, ROW_HEIGHT, lineage
from flows.ui.overview import model_path
from flows.ui.parts import box, copy_button, frame, load, snapshot_age, soon, words
from flows.ui.source import Source
from flows.ui.tables import table
from rlhf_core.store import Snapshot
from rlhf_core.store.audit.pages import model_list
from rlhf_core.store.audit.stories import Story, find_story
from rlhf_core.store.lineage.graph import (
    MODELS_SHOWN,
    LineageGraph,
    lineage_graph,
    tainted_rows,
)


def register(source: Source) -> None:
    @ui.page("/models")
    async def models(request: Request) -> None:
        with frame(request, "Models", "/models"), box() as place:
            await soon(load(place, lambda: _draw_list(source)))

    @ui.page("/models/{model_id}")
    async def model(request: Request, model_id: str) -> None:
        with frame(request, f"Model {model_id}", "/models"), box() as place:
            await soon(load(place, lambda: _draw(source, model_id)))


async def _draw_list(source: Source) -> None:
    models = await source.ask(model_list)
    tainted = await source.ask(tainted_rows)
    snapshot_age(source)
    table(
        "models",
        ["model", "kind", "line", "cycle", "base", "decision", "retracted rows", "run", "made at"],
        [
            (
                model["id"],
                model["kind"],
                model["line"],
                model["cycle"],
                model["base"],
                model["decision"],
                tainted.get(model["id"]),
                model["run_id"],
                model["created_at"],
            )
            for model in models
        ],
        links={0: model_path},
        optional=["decision", "retracted rows"],
        empty="No model yet: `solon run CONFIG` trains the first.",
    )


def _read_with_graph(snapshot: Snapshot, model_id: str) -> tuple[Story, LineageGraph]:
    model = find_story(snapshot, "models", model_id)
    return model, lineage_graph(snapshot, model["id"])


async def _draw(source: Source, model_id: str) -> None:
    model, graph = await source.ask(_read_with_graph, model_id)
    with box("p", "facts"):
        words("b", model["kind"])
        words("span", f"on {model['base']}")
        words("span", f"seed {model['seed']}")
        if model["line"]:
            words("span", f"line {model['line']}, cycle {model['cycle']}")
        words("span", f"made {model['created_at']:%Y-%m-%d %H:%M} by run {model['run_id']}")
        copy_button(model["id"])
    for taint in model["taint"]:
        words(
            "p",
            "Rows it learnt from that rest on something retracted: "
            f"{taint['own_rows']:,} of its own, {taint['inherited_rows']:,} of the models behind "
            "it. Train it again without them: the next `solon run` leaves them out.",
            "warning",
        )
    words("h2", "Lineage")
    words(
        "p",
        "Earlier models left, later ones right. Solid: began as; dashed: taught or chosen by; "
        "dotted: learnt from its answers, verdicts or revisions. Click a model to open it.",
        "soft",
    )
    _graph(graph, model["id"])
    _table(graph)
    _figures(model)
    with box("details"):
        words("summary", "recipe")
        words("pre", model["recipe"], "text")


def _figures(model: Story) -> None:
    """Draw a model's decisions, evaluations and last training figures, where it has any."""
    if model["promotions"]:
        words("h2", "Decisions")
        table(
            "decisions",
            ["line", "cycle", "decision", "reasons"],
            [
                (row["line"], row["cycle"], row["decision"], "; ".join(row["reasons"]))
                for row in model["promotions"]
            ],
        )
    titles = {
        "evaluations": "Evaluations",
        "figures": "Figures beside the win rates",
        "curves": "End of its training",
    }
    for name, title in titles.items():
        if model[name]:
            words("h2", title)
            columns = list(model[name][0])
            table(
                title.lower(),
                [column.replace("_", " ") for column in columns],
                [[row[column] for column in columns] for row in model[name]],
            )


def _graph(found: LineageGraph, model_id: str) -> None:
    depths = [row["depth"] for row in found.models]
    tallest = max(depths.count(depth) for depth in depths)

    def opened(event: EChartPointClickEventArguments) -> None:
        if event.data_type == "node":
            ui.navigate.to(model_path(found.models[event.data_index]["id"]))

    with box("div", "scrolls") as scrolled:
        graph = ui.echart(lineage(found, model_id), on_point_click=opened).classes("graph")
    graph.style(f"height: {min(720, 90 + tallest * ROW_HEIGHT)}px")
    graph.style(f"min-width: {(len(set(depths)) + 0.5) * COLUMN_WIDTH}px")
    # Where not all of it fits, the model itself is in sight.
    earlier = sum(depth < 0 for depth in set(depths)) / max(1, len(set(depths)) - 1)
    ui.run_javascript(
        f"const place = getHtmlElement({scrolled.id}); "
        f"place.scrollLeft = {earlier} * (place.scrollWidth - place.clientWidth)"
    )
    graph.props["role"] = "img"
    graph.props["aria-label"] = "Lineage as a graph; the table below holds the same"


def _table(graph: LineageGraph) -> None:
    taught: dict[str, list[str]] = {}
    for later, earlier, relation in graph.sources:
        taught.setdefault(later, []).append(f"{earlier} ({relation})")
    table(
        "models of this lineage",
        ["model", "kind", "stands on", "learnt from", "judges behind its pairs", "retracted rows"],
        [
            (
                row["id"],
                row["kind"],
                ",\n".join(taught.get(row["id"], [])),
                ",\n".join(f"{n:,} {t}" for t, n in graph.inputs.get(row["id"], {}).items()),
                ",\n".join(f"{j}: {n:,} pairs" for j, n in graph.judges.get(row["id"], [])),
                graph.tainted.get(row["id"]),
            )
            for row in sorted(graph.models, key=lambda row: row["depth"])
        ],
        links={0: model_path},
        optional=["learnt from", "judges behind its pairs", "retracted rows"],
    )
    if len(graph.models) == MODELS_SHOWN:
        words("p", f"Only the nearest {MODELS_SHOWN} models are shown.", "soft")
