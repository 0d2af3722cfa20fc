"""Pages: the models, and one model with what it stands on and what stands on it."""

from fastapi import Request
from nicegui import ui
from nicegui.events import EChartPointClickEventArguments

from flows.ui.charts import COLUMN_WIDTH, ROW_HEIGHT, lineage
from flows.ui.overview import model_path
from flows.ui.parts import box, frame, load, snapshot_age, table, words
from flows.ui.source import Source
from rlhf_core.store.page_details import (
    MODELS_SHOWN,
    ModelDetail,
    model_detail,
    model_list,
)


def register(source: Source) -> None:
    @ui.page("/models")
    def models(request: Request) -> None:
        with frame(request, "Models", "/models"), box() as place:
            load(place, lambda: _draw_list(source))

    @ui.page("/models/{model_id}")
    def model(request: Request, model_id: str) -> None:
        with frame(request, f"Model {model_id}", "/models"), box() as place:
            load(place, lambda: _draw(source, model_id))


async def _draw_list(source: Source) -> None:
    found = await source.ask(model_list)
    snapshot_age(source)
    decisions = {None: "", True: "promoted", False: "refused"}
    table(
        "models",
        ["model", "kind", "base", "decision", "run", "made at"],
        [
            (m["id"], m["kind"], m["base"], decisions[m["promoted"]], m["run_id"], m["created_at"])
            for m in found
        ],
        links={0: model_path},
    )


async def _draw(source: Source, model_id: str) -> None:
    found = await source.ask(model_detail, model_id)
    if found is None:
        words("p", "The store holds no such model, or the snapshot is older than it.", "error")
        return
    model = found.model
    with box("p", "facts"):
        words("b", model["kind"])
        words("span", f"on {model['base']}")
        words("span", f"seed {model['seed']}")
        words("span", f"made {model['created_at']:%Y-%m-%d %H:%M} by run {model['run_id']}")
    words("h2", "Lineage")
    words(
        "p",
        "Earlier models left, later ones right; solid: initialised from, dashed: taught by. Click "
        "a model to open it.",
        "soft",
    )
    _graph(found)
    _table(found)
    with box("details"):
        words("summary", "recipe")
        words("pre", model["recipe"], "text")


def _graph(found: ModelDetail) -> None:
    depths = [row["depth"] for row in found.models]
    tallest = max(depths.count(depth) for depth in depths)

    def opened(event: EChartPointClickEventArguments) -> None:
        if event.data_type == "node":
            ui.navigate.to(model_path(found.models[event.data_index]["id"]))

    with box("div", "scrolls"):
        graph = ui.echart(lineage(found), on_point_click=opened).classes("graph")
    graph.style(f"height: {min(720, 90 + tallest * ROW_HEIGHT)}px")
    graph.style(f"min-width: {(len(set(depths)) + 0.5) * COLUMN_WIDTH}px")
    graph.props["role"] = "img"
    graph.props["aria-label"] = "Lineage as a graph; the table below holds the same"


def _table(found: ModelDetail) -> None:
    taught: dict[str, list[str]] = {}
    for later, earlier, relation in found.sources:
        taught.setdefault(later, []).append(f"{earlier} ({relation})")
    table(
        "models of this lineage",
        ["model", "kind", "stands on", "learnt from", "judges behind its pairs"],
        [
            (
                row["id"],
                row["kind"],
                ", ".join(taught.get(row["id"], [])),
                ", ".join(f"{n:,} {t}" for t, n in found.inputs.get(row["id"], {}).items()),
                ", ".join(f"{j}: {n:,} pairs" for j, n in found.judges.get(row["id"], [])),
            )
            for row in sorted(found.models, key=lambda row: row["depth"])
        ],
        links={0: model_path},
    )
    if len(found.models) == MODELS_SHOWN:
        words("p", f"Only the nearest {MODELS_SHOWN} models are shown.", "soft")
