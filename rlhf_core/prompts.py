"""Reading prompts from JSONL, CSV, Parquet and Hugging Face data sets into records.

A row that cannot be used is an error that names its line; nothing is skipped in silence.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlhf_core.config.tree import PromptSettings
from rlhf_core.errors import PromptFileError
from rlhf_core.records import Mode, Prompt, split_of

HUB_PREFIX = "hf:"
Row = tuple[str, Mapping[str, Any]]
"""Where a row stands, for errors, and its cells."""


def read_prompts(settings: PromptSettings) -> list[Prompt]:
    """All prompts of the source, in its order, each once.

    Raises:
        PromptFileError: If the source is missing or empty, or a row is broken; with its line.
    """
    prompts: dict[str, Prompt] = {}
    for number, (place, cells) in enumerate(_rows(settings.path)):
        if settings.limit is not None and number >= settings.limit:
            break
        prompt = _prompt(place, cells, settings)
        prompts.setdefault(prompt.id, prompt)
    if not prompts:
        raise PromptFileError(f"{settings.path} holds no prompt")
    return list(prompts.values())


def _rows(source: str) -> Iterator[Row]:
    if source.startswith(HUB_PREFIX):
        return _data_set_rows(source)
    path = Path(source).expanduser()
    if not path.exists():
        raise PromptFileError(f"no prompt file {source}; set prompts.path to an existing one")
    if path.is_dir():
        return _data_set_rows(source)
    readers = {".jsonl": _jsonl_rows, ".csv": _csv_rows, ".parquet": _parquet_rows}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise PromptFileError(f"{source}: format not known; use {', '.join(readers)}")
    return reader(path)


def _jsonl_rows(path: Path) -> Iterator[Row]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            place = f"{path} line {number}"
            if not line.strip():
                continue
            try:
                cells = json.loads(line.decode("utf-8"))
            except UnicodeDecodeError:
                raise PromptFileError(f"{place}: not UTF-8; save the file as UTF-8") from None
            except json.JSONDecodeError as error:
                raise PromptFileError(f"{place}: not JSON ({error.msg}); mend that line") from None
            if not isinstance(cells, dict):
                raise PromptFileError(f'{place}: must be an object such as {{"prompt": …}}')
            yield place, cells


def _csv_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        try:
            for cells in reader:
                place = f"{path} line {reader.line_num}"
                if None in cells or None in cells.values():
                    raise PromptFileError(f"{place}: more or fewer cells than the header names")
                yield place, cells
        except csv.Error as error:
            # The inner reader's count: DictReader's own stands still at the row before.
            raise PromptFileError(f"{path} line {reader.reader.line_num}: {error}") from None
        except UnicodeDecodeError:
            raise PromptFileError(f"{path}: not UTF-8; save the file as UTF-8") from None


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        rows = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise PromptFileError(f"{path}: not readable as Parquet ({error})") from None
    return ((f"{path} row {number}", cells) for number, cells in enumerate(rows, start=1))


def _data_set_rows(source: str) -> Iterator[Row]:
    try:
        import datasets
    except ImportError:
        raise PromptFileError(
            f"{source}: reading data sets needs `pip install 'solon[datasets]'`"
        ) from None
    try:
        if source.startswith(HUB_PREFIX):
            name, _, split = source.removeprefix(HUB_PREFIX).partition(":")
            found = datasets.load_dataset(name, split=split or "train")
        else:
            found = datasets.load_from_disk(source)
    except (OSError, ValueError) as error:
        raise PromptFileError(f"{source}: {' '.join(str(error).split())}") from None
    if isinstance(found, datasets.DatasetDict):
        names = ", ".join(found)
        raise PromptFileError(f"{source} holds several splits ({names}); name the folder of one")
    return ((f"{source} row {number}", cells) for number, cells in enumerate(found, start=1))


def _prompt(place: str, cells: Mapping[str, Any], settings: PromptSettings) -> Prompt:
    columns = settings.columns
    if columns.prompt not in cells:
        known = ", ".join(str(key) for key in cells)
        raise PromptFileError(
            f"{place}: no column {columns.prompt!r} (found: {known}); name it in "
            "prompts.columns.prompt"
        )
    text = _text(place, columns.prompt, cells[columns.prompt])
    if text is None:
        raise PromptFileError(f"{place}: the prompt is empty; fill it in or remove the line")
    context = _text(place, columns.context, cells.get(columns.context))
    references = _references(place, columns.reference, cells.get(columns.reference))
    return Prompt(
        text=text,
        context=context,
        mode=_mode(place, cells.get(columns.mode), context, references),
        reference_answers=references,
        split=split_of(text, context, settings.holdout),
    )


def _text(place: str, column: str, cell: Any) -> str | None:
    if cell is None:
        return None
    if not isinstance(cell, str):
        raise PromptFileError(f"{place}: {column!r} must be text, not {type(cell).__name__}")
    return cell.strip() or None


def _references(place: str, column: str, cell: Any) -> tuple[str, ...]:
    cells = cell if isinstance(cell, list) else [cell]
    texts = [_text(place, column, entry) for entry in cells]
    return tuple(text for text in texts if text is not None)


def _mode(place: str, cell: Any, context: str | None, references: tuple[str, ...]) -> Mode:
    if not cell:
        if context:
            return Mode.TEXT_GROUNDED
        return Mode.KNOWLEDGE_SEEKING if references else Mode.CREATIVE
    try:
        return Mode(cell)
    except ValueError:
        raise PromptFileError(f"{place}: mode {cell!r}; use {', '.join(Mode)}") from None
