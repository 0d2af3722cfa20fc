"""Rubrics in a cell: the criteria that answers to one prompt should meet, or should not."""

import json
import math
from collections.abc import Mapping
from typing import Any

from rlhf_core.errors import DataFileError
from rlhf_core.files.messages import check_encodable
from rlhf_core.records.rubric import Criterion

TEXT_FIELDS = ("criterion", "question", "description")
POINTS_FIELDS = ("points", "weight")
FORM = 'write a text, or {"criterion": …, "points": …}'


def read_rubric(place: str, column: str, cell: Any) -> tuple[Criterion, ...]:
    """Return a cell as criteria.

    Args:
        place: File and line of the row, for errors.
        column: Name of the column.
        cell: None, a text, a list, or such a list as JSON text. An entry of a list is a text, or
            an object with `criterion`, `question` or `description`, and optional `points` or
            `weight`; other fields are ignored. A text that is no JSON is one criterion.

    Returns:
        The criteria in their order; none for an empty cell. A criterion without points has 1.

    Raises:
        DataFileError: If the cell is anything else, a criterion is empty or repeats another, or no
            criterion has points above 0.
    """
    where = f"{place}: {column!r}"
    if isinstance(cell, str):
        cell = _parsed(where, cell.strip())
    if not cell and not isinstance(cell, bool | int | float):
        return ()
    if not isinstance(cell, list):
        raise DataFileError(f"{where} must be a list of criteria, not {type(cell).__name__}")
    criteria = tuple(
        _criterion(f"{place}: criterion {number} of {column!r}", entry)
        for number, entry in enumerate(cell, start=1)
    )
    seen: dict[str, int] = {}
    for number, one in enumerate(criteria, start=1):
        first = seen.setdefault(one.text, number)
        if first != number:
            raise DataFileError(
                f"{place}: criterion {number} of {column!r} repeats criterion {first}; keep one"
            )
    if all(one.points < 0 for one in criteria):
        raise DataFileError(
            f"{where} has no criterion with points above 0, so no answer could gain any; add one"
        )
    return criteria


def _parsed(where: str, text: str) -> Any:
    if not text.startswith(("[", "{")):
        return [text] if text else None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataFileError(f"{where} is not JSON: {error}") from None


def _criterion(where: str, entry: Any) -> Criterion:
    if isinstance(entry, str):
        return Criterion(_text(where, entry))
    if not isinstance(entry, Mapping):
        raise DataFileError(f"{where} is {type(entry).__name__}; {FORM}")
    text = _only_field(where, entry, TEXT_FIELDS)
    points = _only_field(where, entry, POINTS_FIELDS)
    if text is None:
        raise DataFileError(f"{where} has no text (found: {', '.join(map(str, entry))}); {FORM}")
    return Criterion(_text(where, text), 1.0 if points is None else _points(where, points))


def _only_field(where: str, entry: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """Return the field that has one of these names; None if there is none."""
    filled = [name for name in names if entry.get(name) is not None]
    if len(filled) > 1:
        raise DataFileError(f"{where} has both {filled[0]!r} and {filled[1]!r}; keep one of them")
    return entry[filled[0]] if filled else None


def _text(where: str, cell: Any) -> str:
    if not isinstance(cell, str):
        raise DataFileError(f"{where} must be text, not {type(cell).__name__}")
    if not cell.strip():
        raise DataFileError(f"{where} is empty; fill it in or remove it")
    check_encodable(where, "criterion", cell)
    return cell.strip()


def _points(where: str, cell: Any) -> float:
    is_number = isinstance(cell, int | float) and not isinstance(cell, bool)
    if not is_number or not math.isfinite(cell) or cell == 0:
        raise DataFileError(
            f"{where} has the points {cell!r:.40}; write a number above 0, or below 0 for what an "
            "answer should not do"
        )
    return float(cell)
