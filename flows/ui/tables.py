"""Tables of text cells; a narrow screen shows them as lists of cards."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from nicegui import ui

from flows.terminal.screen import safe_text
from flows.ui.parts import words

MOST_CHARACTERS = 5000
"""Most characters of a cell that are shown."""
# What a row leads to is beside its cells, so that a cell is text whatever it holds.
CELL = """
<q-td :props="props" :data-label="props.col.label"
      :class="{ blank: props.value === '', figure: props.col.align === 'right' }">
  <a v-if="props.row['to_' + props.col.name]" :href="props.row['to_' + props.col.name]"
     >{{ props.value }}</a>
  <template v-else>{{ props.value }}</template>
</q-td>
"""


def table(
    label: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    links: Mapping[int, Callable[[Any], str]] | None = None,
    empty: str | None = None,
    optional: Collection[str] = (),
    is_exact: bool = False,
) -> None:
    """Draw rows as a table of texts, some of them linked.

    Args:
        label: Name of the table, for screen readers.
        columns: Names of the columns.
        rows: One cell a column.
        links: Function from a cell to the path it links to, by column.
        empty: Text in place of an empty table.
        optional: Columns that are left out if no row has a value in them.
        is_exact: True to show numbers unrounded.
    """
    if not rows:
        words("p", empty or f"no {label}", "soft")
        return
    numeric = {n: _is_numeric([row[n] for row in rows]) for n in range(len(columns))}
    kept = [
        n
        for n, name in enumerate(columns)
        if name not in optional or any(row[n] not in (None, "") for row in rows)
    ]
    text = cell_text if is_exact else figure
    drawn = ui.table(
        columns=[
            {
                "name": f"c{n}",
                "field": f"c{n}",
                "label": safe_text(columns[n]),
                "align": alignment(numeric[n]),
            }
            for n in kept
        ],
        rows=[
            {"key": place, **{f"c{n}": text(row[n]) for n in kept}}
            | {f"to_c{n}": path(row[n]) for n, path in (links or {}).items() if row[n]}
            for place, row in enumerate(rows)
        ],
        row_key="key",
    ).classes("rows")
    drawn.props("dense flat wrap-cells hide-no-data binary-state-sort")
    drawn.props["table-aria-label"] = label
    drawn.add_slot("body-cell", CELL)


def figure(cell: Any) -> str:
    """Return a cell as text like `cell_text`, but numbers to three digits with separators."""
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return cell_text(cell)
    if isinstance(cell, int) or abs(cell) >= 1000:
        return f"{cell:,.0f}"
    return f"{cell:.3g}"


def cell_text(cell: Any) -> str:
    """Return a cell as text, with times in UTC to the second, as in the store."""
    if isinstance(cell, datetime):
        return f"{cell.astimezone(UTC) if cell.tzinfo else cell:%Y-%m-%d %H:%M:%S}"
    text = safe_text(cell) if isinstance(cell, float) else "" if cell is None else str(cell)
    if len(text) > MOST_CHARACTERS:
        return f"{safe_text(text[:MOST_CHARACTERS])}… ({len(text):,} characters)"
    return safe_text(text)


def alignment(is_numeric: bool) -> Literal["left", "right"]:
    return "right" if is_numeric else "left"


def _is_numeric(cells: Sequence[Any]) -> bool:
    known = [cell for cell in cells if cell is not None]
    return bool(known) and all(
        isinstance(cell, int | float) and not isinstance(cell, bool) for cell in known
    )
