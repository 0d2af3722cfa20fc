"""Paths to cells and to the parts of nested cells, such as `completions[*].response`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

EVERY = "*"
"""The step that takes every entry of a list."""
SYNTAX = re.compile(r"[^.\[\]]+(\[(\*|\d+)\])*(\.[^.\[\]]+(\[(\*|\d+)\])*)*")


class _Missing:
    """The value of a path that a row does not have; null is another value."""


MISSING: Final = _Missing()
Step = str | int


@dataclass(frozen=True)
class ColumnPath:
    """The steps from a row to a part of a cell: names of fields, places in lists, or EVERY."""

    steps: tuple[Step, ...]

    def find(self, row: Any) -> Any:
        """Return the part of a row; a list of parts if a step is EVERY; MISSING if it has none."""
        return _find(row, self.steps)

    def without(self, cell: Any) -> Any:
        """Return a column's cell without the part that this path leads to; MISSING for nothing."""
        return _without(cell, self.steps[1:])


@lru_cache(maxsize=1024)
def parse_path(name: str) -> ColumnPath | None:
    """Return the path that a name is; None if it is the plain name of a column.

    `a.b` is the field b of the column a. A place in a list is written `a[0].b` or `a.0.b`, and
    every place `a[*].b`.
    """
    if not SYNTAX.fullmatch(name):
        return None
    steps = re.findall(r"[^.\[\]]+", name)
    if len(steps) == 1:
        return None
    return ColumnPath((steps[0], *(int(step) if step.isdigit() else step for step in steps[1:])))


def find_cell(row: Mapping[str, Any], name: str) -> Any:
    """Return the cell of a column, or the part of one that a path leads to; MISSING for neither."""
    if name in row:
        return row[name]
    path = parse_path(name) if "." in name or "[" in name else None
    return MISSING if path is None else path.find(row)


def nested_names(row: Mapping[str, Any]) -> list[str]:
    """Return the names of a row's columns, and the paths of the fields within them."""
    return [path for name, cell in row.items() for path in (str(name), *_within(str(name), cell))]


def _within(name: str, cell: Any) -> list[str]:
    if isinstance(cell, Mapping):
        inner = [(f"{name}.{field}", part) for field, part in cell.items()]
    elif isinstance(cell, Sequence) and cell and isinstance(cell[0], Mapping):
        inner = [(f"{name}[*].{field}", part) for field, part in cell[0].items()]
    else:
        return []
    return [path for inside, part in inner for path in (inside, *_within(inside, part))]


def _find(value: Any, steps: tuple[Step, ...]) -> Any:
    for at, step in enumerate(steps):
        if step == EVERY:
            if not isinstance(value, list):
                return MISSING
            parts = [_find(entry, steps[at + 1 :]) for entry in value]
            return MISSING if any(part is MISSING for part in parts) else parts
        value = _step(value, step)
        if value is MISSING:
            return MISSING
    return value


def _step(value: Any, step: Step) -> Any:
    if isinstance(value, Mapping):
        return value.get(str(step), MISSING)
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return MISSING


def _without(value: Any, steps: tuple[Step, ...]) -> Any:
    if not steps:
        return MISSING
    step, rest = steps[0], steps[1:]
    if isinstance(value, Mapping):
        kept = {
            name: _without(part, rest) if name == str(step) else part
            for name, part in value.items()
        }
        kept = {name: part for name, part in kept.items() if part is not MISSING}
        return kept or MISSING
    if isinstance(value, list):
        parts = [
            _without(part, rest) if step in (EVERY, place) else part
            for place, part in enumerate(value)
        ]
        kept_parts = [None if part is MISSING else part for part in parts]
        return MISSING if all(part is MISSING for part in parts) else kept_parts
    return value
