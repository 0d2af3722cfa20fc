"""Rows of JSON files: one object a line, one list of objects, or one object."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rlhf_core.errors import DataFileError
from rlhf_core.files.streams import Row, not_utf8, open_bytes


class _RepeatedKey(ValueError):
    """An object with one key twice; of its two values, a parser would drop one in silence."""


def jsonl_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file with one object a line, or with one list of objects.

    Raises:
        DataFileError: If a line is not UTF-8, not JSON or no object, or repeats a key.
    """
    with open_bytes(path) as stream:
        for number, line in enumerate(stream, start=1):
            place = f"{path} line {number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError:
                raise not_utf8(path) from None
            if text.startswith("[") and number == 1:
                break
            if text:
                yield place, _object(place, _parsed(place, text))
        else:
            return
    yield from json_rows(path)


def json_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file with one list of objects, with one object, or with one a line.

    Raises:
        DataFileError: If the file is not UTF-8 or not JSON, a row is no object, or repeats a key.
    """
    with open_bytes(path) as stream:
        try:
            text = stream.read().decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise not_utf8(path) from None
    if text.startswith("{") and _has_an_object_a_line(text):
        yield from jsonl_rows(path)
        return
    rows = _parsed(str(path), text) if text else []
    for number, cells in enumerate(rows if isinstance(rows, list) else [rows], start=1):
        place = f"{path} row {number}"
        yield place, _object(place, cells)


def _has_an_object_a_line(text: str) -> bool:
    """Return True if the first line is a whole object, and others follow it."""
    end = text.find("\n")
    if end < 0:
        return False
    try:
        return isinstance(_DECODER.decode(text[:end]), dict)
    except (ValueError, RecursionError):
        return False


def _parsed(place: str, text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        within = "" if " line " in place else f" line {error.lineno}"
        raise DataFileError(
            f"{place}{within}: not JSON ({error.msg} at character {error.colno}); mend that line"
        ) from None
    except RecursionError:
        raise DataFileError(f"{place}: not JSON that can be read (nested too deeply)") from None
    except ValueError as error:  # a repeated key, or a number of thousands of digits
        raise DataFileError(f"{place}: {error}") from None


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    cells = dict(pairs)
    if len(cells) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _RepeatedKey(f"the key {twice!r} stands twice in one object; keep one of them")
    return cells


_DECODER = json.JSONDecoder(object_pairs_hook=_unrepeated)


def _object(place: str, cells: Any) -> Mapping[str, Any]:
    if not isinstance(cells, dict):
        raise DataFileError(
            f'{place}: must be an object such as {{"prompt": …}}, not {type(cells).__name__}'
        )
    return cells
