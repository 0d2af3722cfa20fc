"""Page: pairs, filtered and a page at a time; each row opens its pair."""

from asyncio import Task
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from flows.terminal.screen import safe_text
from flows.ui.parts import box, frame, link, load, snapshot_age, soon, words
from flows.ui.source import Source
from flows.ui.tables import alignment, figure
from rlhf_core.records import Mode, PairOutcome, Split
from rlhf_core.store.audit.pages import (
    COUNTED_ROWS,
    PAGE_ROWS,
    PairFilter,
    PairOrder,
    PairPage,
    pair_choices,
    pair_count,
    pair_page,
)

COLUMNS = {
    "prompt": "prompt",
    "chosen": "chosen, or left",
    "rejected": "rejected, or right",
    "outcome": "outcome",
    "margin": "margin",
    "agreement": "agreement",
    "mode": "mode",
    "split": "split",
    "votes": "votes",
    "run_id": "run",
    "created_at": "made at",
}
# The prompt's link covers its row: keys, middle clicks and screen readers find it as a link.
BODY = """
<q-tr :props="props">
  <q-td v-for="col in props.cols" :key="col.name" :props="props"
        :class="'cell-' + col.name" :data-label="col.label">
    <a v-if="col.name === 'prompt'" class="opens"
       :href="'/pairs/' + encodeURIComponent(props.row.id)">{{ col.value || '(no text)' }}</a>
    <span v-else-if="col.name === 'outcome'" :class="'outcome ' + col.value"
      >{{ col.value }}</span>
    <span v-else>{{ col.value }}</span>
  </q-td>
</q-tr>
"""


@dataclass
class Browsing:
    """One visitor's filter and order, and the keys that their pages started after."""

    wanted: PairFilter = field(default_factory=PairFilter)
    order: PairOrder = PairOrder.NEWEST
    starts: list[tuple[Any, str] | None] = field(default_factory=lambda: [None])
    page: int = 1
    """Number of the current page; a link may start at a later page, with no earlier ones known."""

    def path(self) -> str:
        chosen = {k: v for k, v in asdict(self.wanted).items() if v not in (None, "")}
        if self.order is not PairOrder.NEWEST:
            chosen["order"] = self.order.value
        start = self.starts[-1]
        if start is not None:
            chosen |= {"page": self.page, "key": str(start[0]), "after": start[1]}
        return "/pairs" + (f"?{urlencode(chosen)}" if chosen else "")


def register(source: Source) -> None:
    @ui.page("/pairs")
    async def pairs(request: Request) -> None:
        browsing = _from_query(dict(request.query_params))
        with frame(request, "Pairs", "/pairs"):
            filters, place = box("div", "filters"), box("div", "pairs")

            def show() -> Task[None]:
                return load(place, lambda: _draw(source, browsing, show))

            def change(**changed: Any) -> None:
                browsing.order = changed.pop("order", browsing.order)
                browsing.wanted = replace(browsing.wanted, **changed)
                browsing.starts, browsing.page = [None], 1
                ui.navigate.history.replace(browsing.path())
                show()

            drawn = load(filters, lambda: _draw_filters(source, browsing, change))
            await soon(drawn, show())


def _from_query(query: dict[str, str]) -> Browsing:
    """Return the filter, order and page of a link; values that make no sense are ignored."""
    margins = {k: _number(query.pop(k, None)) for k in ("margin_low", "margin_high")}
    order = (
        PairOrder(given) if (given := query.get("order")) in set(PairOrder) else PairOrder.NEWEST
    )
    start, page = _start(query, order)
    known = {k: v for k, v in query.items() if k in PairFilter.__dataclass_fields__}
    wanted = PairFilter(**known, **margins)  # type: ignore[arg-type]
    return Browsing(wanted, order, [start], page)


def _start(query: dict[str, str], order: PairOrder) -> tuple[tuple[Any, str] | None, int]:
    """Return the key that a link's page starts after, and the page's number."""
    read = datetime.fromisoformat if order is PairOrder.NEWEST else float
    try:
        return (read(query["key"]), query["after"]), max(1, int(query["page"]))
    except (KeyError, ValueError):
        return None, 1


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


async def _draw_filters(source: Source, browsing: Browsing, change: Any) -> None:
    choices = await source.ask(pair_choices)
    selects = {
        "mode": ("mode", [mode.value for mode in Mode]),
        "split": ("split", [split.value for split in Split]),
        "outcome": ("outcome", [outcome.value for outcome in PairOutcome]),
        "judge_version": ("judge", choices["judge_versions"]),
        "run_id": ("run", choices["runs"]),
    }
    for name, (label, values) in selects.items():
        chosen = getattr(browsing.wanted, name)
        options = {value: safe_text(value) for value in values}
        if chosen is not None:
            options.setdefault(chosen, safe_text(chosen))
        ui.select(options, label=label, value=chosen, clearable=True).props(
            "dense outlined options-dense"
        ).on_value_change(_changes(change, name))
    for name, label in (("margin_low", "margin from"), ("margin_high", "margin to")):
        ui.number(label, min=0, max=1, step=0.05, value=getattr(browsing.wanted, name)).props(
            "dense outlined debounce=400"
        ).classes("narrow").on_value_change(_changes(change, name))
    ui.select(list(PairOrder), label="order", value=browsing.order).props(
        "dense outlined options-dense"
    ).classes("order").on_value_change(_changes(change, "order"))
    ui.input("text contains", value=browsing.wanted.text).props(
        "dense outlined clearable debounce=400 type=search"
    ).classes("wide on-slash").on_value_change(lambda event: change(text=event.value or ""))


def _changes(change: Any, name: str) -> Any:
    def changed(event: ValueChangeEventArguments[Any]) -> None:
        change(**{name: event.value})

    return changed


async def _draw(source: Source, browsing: Browsing, show: Any) -> None:
    start = browsing.starts[-1]
    rows_page = await source.ask(pair_page, browsing.wanted, browsing.order, start)
    with box("div", "pager"):
        count = words("span", _span(browsing, rows_page), "soft")
        if rows_page.rows or browsing.page > 1:
            _pager(browsing, rows_page, show)
        snapshot_age(source)
    if not rows_page.rows:
        _empty(browsing)
    else:
        _table(rows_page)
        total = await source.ask(pair_count, browsing.wanted)
        more = "more than " if total > COUNTED_ROWS else ""
        count.text = f"{count.text} of {more}{min(total, COUNTED_ROWS):,}"


def _span(browsing: Browsing, rows_page: PairPage) -> str:
    before = (browsing.page - 1) * PAGE_ROWS
    if not rows_page.rows:
        return "no pairs"
    return f"pairs {before + 1:,} to {before + len(rows_page.rows):,}"


def _pager(browsing: Browsing, rows_page: PairPage, show: Any) -> None:
    def turn() -> None:
        ui.navigate.history.replace(browsing.path())
        show()

    def back() -> None:
        browsing.starts.pop()
        browsing.page -= 1
        if not browsing.starts:  # a link began here
            browsing.starts, browsing.page = [None], 1
        turn()

    def forth() -> None:
        browsing.starts.append(rows_page.last)
        browsing.page += 1
        turn()

    previous = ui.button("previous", on_click=back).props("flat dense no-caps data-key=p")
    previous.set_enabled(browsing.page > 1)
    ui.button("next", on_click=forth).props("flat dense no-caps data-key=n").set_enabled(
        rows_page.last is not None
    )


def _empty(browsing: Browsing) -> None:
    """Draw advice in place of an empty list."""
    if browsing.wanted == PairFilter():
        words("p", "The store holds no pairs yet: `solon run CONFIG` samples, judges, pairs.")
        return
    words("p", "No pair is like that.")
    link("Clear all filters", "/pairs")


def _table(rows_page: PairPage) -> None:
    numbers = ("margin", "agreement", "votes")
    table = ui.table(
        columns=[
            {
                "name": name,
                "field": name,
                "label": label,
                "align": alignment(name in numbers),
            }
            for name, label in COLUMNS.items()
        ],
        rows=[
            {"id": row["id"], **{name: figure(_with_spaces(name, row[name])) for name in COLUMNS}}
            for row in rows_page.rows
        ],
        row_key="id",
    ).classes("rows pair-rows")
    table.props("dense flat wrap-cells")
    table.add_slot("body", BODY)


def _with_spaces(name: str, cell: Any) -> Any:
    return cell.replace("_", " ") if name == "mode" and cell else cell
