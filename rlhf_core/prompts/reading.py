"""Reading prompts from JSONL, CSV, Parquet and Hugging Face data sets into records.

A row that cannot be used is an error that names its line; nothing is skipped silently.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rlhf_core.config.prompts import Columns, PromptSettings
from rlhf_core.errors import DataFileError
from rlhf_core.files.rows import HUB_PREFIX, NamedColumns, Row, data_set_rows, read_rows
from rlhf_core.records import Mode, Prompt, split_of
from rlhf_core.records.preferences import likely_mode


@dataclass(frozen=True)
class Asked:
    """A row as it stands in the source: the prompt, split by its own words, and who sent it."""

    prompt: Prompt
    user_id: str | None


def asked_prompts(settings: PromptSettings) -> Iterator[Asked]:
    """Every row of the source, in its order.

    Raises:
        DataFileError: If the source is missing, a row is broken (with its line), or a column that
            the settings name is in none of the rows.
    """
    named = NamedColumns(_named(settings.columns))
    for place, cells in islice(_rows(settings.path), settings.limit):
        named.see(cells)
        yield Asked(_prompt(place, cells, settings), _user(place, cells, settings.columns.user))
    named.check(settings.path)


def _named(columns: Columns) -> dict[str, str]:
    """Columns that are not called what they are called by default, by the key that names them."""
    defaults = Columns()
    return {
        f"prompts.columns.{key}": name
        for key, name in columns
        if name is not None and name != getattr(defaults, key)
    }


def _rows(source: str) -> Iterator[Row]:
    if source.startswith(HUB_PREFIX):
        return data_set_rows(source)
    path = Path(source).expanduser()
    if not path.exists():
        raise DataFileError(f"no prompt file {source}; set prompts.path to an existing one")
    if path.is_dir():
        return data_set_rows(source)
    return read_rows(path)


def _prompt(place: str, cells: Mapping[str, Any], settings: PromptSettings) -> Prompt:
    columns = settings.columns
    if columns.prompt not in cells:
        known = ", ".join(str(key) for key in cells)
        raise DataFileError(
            f"{place}: no column {columns.prompt!r} (found: {known}); name it in "
            "prompts.columns.prompt"
        )
    text = _text(place, columns.prompt, cells[columns.prompt])
    if text is None:
        raise DataFileError(f"{place}: the prompt is empty; fill it in or remove the line")
    context = _text(place, columns.context, cells.get(columns.context))
    references = _references(place, columns.reference, cells.get(columns.reference))
    return Prompt(
        text=text,
        context=context,
        mode=_mode(place, cells.get(columns.mode), context, references),
        reference_answers=references,
        split=split_of(text, context, settings.holdout),
    )


def _user(place: str, cells: Mapping[str, Any], column: str | None) -> str | None:
    if column is None:
        return None
    if column not in cells:
        raise DataFileError(f"{place}: no column {column!r}; name another in prompts.columns.user")
    cell = cells[column]
    if isinstance(cell, bool) or not isinstance(cell, str | int | None):
        raise DataFileError(
            f"{place}: {column!r} must be a text or a whole number, not {type(cell).__name__}"
        )
    return None if cell is None else str(cell).strip() or None


def _text(place: str, column: str, cell: Any) -> str | None:
    if cell is None:
        return None
    if not isinstance(cell, str):
        raise DataFileError(f"{place}: {column!r} must be text, not {type(cell).__name__}")
    return cell.strip() or None


def _references(place: str, column: str, cell: Any) -> tuple[str, ...]:
    cells = cell if isinstance(cell, list) else [cell]
    texts = [_text(place, column, entry) for entry in cells]
    return tuple(text for text in texts if text is not None)


def _mode(place: str, cell: Any, context: str | None, references: Sequence[str]) -> Mode:
    if not cell:
        return likely_mode(context, references)
    try:
        return Mode(cell)
    except ValueError:
        raise DataFileError(f"{place}: mode {cell!r}; use {', '.join(Mode)}") from None
