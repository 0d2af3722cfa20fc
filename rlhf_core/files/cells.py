"""Cells of a row, read by the role of their column, with errors that name file, line and column."""

import difflib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Generic, TypeVar

from rlhf_core.errors import DataFileError
from rlhf_core.files.messages import check_encodable
from rlhf_core.files.paths import MISSING, find_cell, nested_names, parse_path

Parsed = TypeVar("Parsed")
Name = TypeVar("Name", bound=str)
Reading = Callable[[str, str, Any], Any]
"""Converts a cell, given its place and column; raises DataFileError if it cannot."""
EXACT_INTEGERS = 2.0**53
"""Every whole number below this is a float."""
TRUTH = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}


class Cells:
    """A row whose cells are read by the role of their column.

    Args:
        place: File and line of the row, for errors.
        row: Cells by column.
        names: Columns that the user or a format named, by role: names, or paths such as
            `extra_info.answer` (paths.py).
        usual: Usual names of columns by role; the first that the row has is read. A role in neither
            mapping is the column's own name.
        hint: Advice for a missing column, with `{role}` for its role.
        readings: Conversion of the cells of a role, if a format spells them in its own way.
    """

    def __init__(
        self,
        place: str,
        row: Mapping[str, Any],
        names: Mapping[str, str] | None = None,
        usual: Mapping[str, Sequence[str]] | None = None,
        hint: str = "",
        readings: Mapping[str, Reading] | None = None,
    ) -> None:
        self.place, self.row = place, row
        self._names, self._usual, self._hint = names or {}, usual or {}, hint
        self._readings = readings or {}
        self._read: set[str] = set()

    def column(self, role: str) -> str | None:
        """Return the name of the column with that role; None if the row has none."""
        for name in self._known_as(role):
            if name in self.row or find_cell(self.row, name) is not MISSING:
                return name
        return None

    def has(self, *roles: str) -> bool:
        return all(self.column(role) is not None for role in roles)

    def get(self, role: str) -> Any:
        """Return the cell; None if it is null or the row has no such column."""
        name = self.column(role)
        if name is None:
            return None
        self._read.add(name)
        cell = find_cell(self.row, name)
        reading = self._readings.get(role)
        return cell if reading is None or cell is None else reading(self.place, name, cell)

    def read(self, role: str, reading: Callable[[str, str, Any], Parsed]) -> Parsed | None:
        """Return the cell as `reading` converts it; None if it is null or there is no such column.

        Args:
            role: Role of the column.
            reading: Takes the place, the name of the column, and the cell.
        """
        cell = self.get(role)
        return None if cell is None else reading(self.place, self.shown(role), cell)

    def shown(self, role: str) -> str:
        """Return the name of the column with that role, for errors."""
        return self.column(role) or next(iter(self._known_as(role)), role)

    def raw(self, role: str) -> Any:
        """Return the cell.

        Raises:
            DataFileError: If the row has no such column, or the cell is null.
        """
        self.require(role)
        cell = self.get(role)
        if cell is None:
            raise self.error(f"{self.shown(role)!r} is null; fill it in or remove the row")
        return cell

    def require(self, role: str) -> None:
        """Refuse a row without a column; the cell may be null.

        Raises:
            DataFileError: If the row has no such column.
        """
        if self.column(role) is None:
            wanted = self._known_as(role)
            name = repr(wanted[0]) if len(wanted) == 1 else " or ".join(wanted)
            hint = self._hint.format(role=role)
            found = ", ".join(map(str, self.row))
            near = near_name(wanted[0], self.row)
            raise self.error(f"no column {name} (found: {found}){near}{hint}")

    @property
    def unread(self) -> dict[str, Any]:
        """Cells of the columns that were not read, and what is left of those read in part."""
        cells = {name: cell for name, cell in self.row.items() if name not in self._read}
        for name in self._read - self.row.keys():
            path = parse_path(name)
            column = str(path.steps[0]) if path else name
            if path and column in cells:
                cells[column] = path.without(cells[column])
        return {name: cell for name, cell in cells.items() if cell is not MISSING}

    def text(self, role: str) -> str:
        return self.as_text(role, self.raw(role))

    def optional_text(self, role: str) -> str | None:
        """Return a text without surrounding space; None if it is missing, null or blank."""
        cell = self.get(role)
        return None if cell is None else self.as_text(role, cell).strip() or None

    def as_text(self, role: str, cell: Any) -> str:
        if not isinstance(cell, str):
            raise self.wrong(role, cell, "text")
        check_encodable(self.place, self.shown(role), cell)
        return cell

    def texts(self, role: str) -> tuple[str, ...]:
        """Return the texts of a cell that holds none, one or a list; blank ones are left out.

        Numbers, true and false, and dates become texts: 5 and 5.0 are "5", which tables with empty
        cells do not tell apart, and true is "true", as in JSON.
        """
        cell = self.get(role)
        entries = cell if isinstance(cell, list) else [cell]
        texts = [self._spelled(role, entry) for entry in entries if entry is not None]
        return tuple(text for text in texts if text.strip())

    def _spelled(self, role: str, cell: Any) -> str:
        if isinstance(cell, bool):
            return str(cell).lower()
        if isinstance(cell, float) and cell.is_integer():
            return str(int(cell)) if abs(cell) < EXACT_INTEGERS else repr(cell)
        if isinstance(cell, int) or (isinstance(cell, float | Decimal) and math.isfinite(cell)):
            return str(cell)
        if isinstance(cell, date):
            return cell.isoformat()
        if isinstance(cell, Mapping) and cell:
            inner = ", ".join(f"{self.shown(role)}.{name}" for name in cell)
            raise self.error(f"{self.shown(role)!r} has parts; name one of them: {inner}")
        return self.as_text(role, cell)

    def optional_number(self, role: str) -> float | None:
        cell = self.get(role)
        return None if cell is None else self.as_number(role, cell)

    def as_number(self, role: str, cell: Any) -> float:
        """Return a number that is written as one."""
        number = number_of(cell) if isinstance(cell, int | float | Decimal) else None
        if isinstance(cell, bool) or number is None or not math.isfinite(number):
            raise self.error(f"{self.shown(role)!r} must be a number, not {cell!r:.40}")
        return number

    def as_label(self, role: str, cell: Any) -> float:
        """Return a number, also from text and from yes, no, true and false."""
        text = str(cell).strip().lower()
        number = TRUTH[text] if text in TRUTH else number_of(text)
        if number is None or not math.isfinite(number):
            raise self.error(f"{self.shown(role)} = {cell!r}: must be a number")
        return number

    def label(self, role: str) -> float:
        return self.as_label(role, self.raw(role))

    def entries(self, role: str) -> Sequence[Any]:
        """Return the entries of a list."""
        cell = self.raw(role)
        if not isinstance(cell, list):
            raise self.wrong(role, cell, "a list")
        return cell

    def json(self, role: str) -> Any:
        """Return the value that a text holds as JSON; tables have no other way to hold a list."""
        try:
            return json.loads(self.text(role))
        except (ValueError, RecursionError) as error:
            raise self.error(f"{self.shown(role)!r} is not JSON: {error}") from None

    def wrong(self, role: str, cell: Any, wanted: str) -> DataFileError:
        """Return the error for a cell of the wrong type.

        Args:
            role: Role of the column.
            cell: The cell.
            wanted: The type that it must have, in words.
        """
        return self.error(f"{self.shown(role)!r} must be {wanted}, not {type(cell).__name__}")

    def error(self, problem: str) -> DataFileError:
        return DataFileError(f"{self.place}: {problem}")

    def _known_as(self, role: str) -> Sequence[str]:
        named = self._names.get(role)
        return (named,) if named is not None else self._usual.get(role, (role,))


@dataclass(frozen=True)
class RowForm(Generic[Parsed]):
    """A form of rows: the columns that identify it, and the reader of its rows."""

    columns: tuple[tuple[str, ...], ...]
    """Alternative sets of roles; a row of this form has the columns of one of them."""
    read: Callable[..., Parsed]


def matching_form(cells: Cells, forms: Mapping[Name, RowForm[Any]]) -> Name | None:
    """Return the name of the first form whose columns the row has; None if there is none."""
    return next(
        (
            name
            for name, form in forms.items()
            if any(cells.has(*columns) for columns in form.columns)
        ),
        None,
    )


def number_of(cell: Any) -> float | None:
    """Return a cell as a number; None if it is none."""
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return None


def near_name(name: str, row: Mapping[str, Any]) -> str:
    """Return the column or part of a row that a name probably means, as the end of an error."""
    known = nested_names(row)
    last = name.rpartition(".")[2]
    within = [path for path in known if path.rpartition(".")[2] == last and path != name]
    near = within or difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
