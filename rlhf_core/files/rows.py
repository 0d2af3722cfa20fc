"""Rows of JSONL, JSON, CSV and Parquet files and of data sets, each with the place it stands at.

A line that cannot be read is an error that names it; nothing is skipped in silence.
"""

import csv
import difflib
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlhf_core.errors import DataFileError

Row = tuple[str, Mapping[str, Any]]
"""Where a row stands, for errors, and its cells."""
HUB_PREFIX = "hf:"


class NamedColumns:
    """The columns that a user named, and whether any row of the source has them.

    A row may lack an optional column. That no row at all has it is a typo, which would otherwise
    read as a source without references, contexts or modes.

    Args:
        named: Name of each column, by what the error calls it, such as `prompts.columns.reference`.
    """

    def __init__(self, named: Mapping[str, str]) -> None:
        self._missing = dict(named)
        self._seen: dict[str, None] = {}

    def see(self, cells: Mapping[str, Any]) -> None:
        """Note the columns of a row."""
        if self._missing:
            self._seen.update(dict.fromkeys(cells))
            self._missing = {k: v for k, v in self._missing.items() if v not in cells}

    def check(self, source: str) -> None:
        """Refuse a source that has none of a named column; call it after the last row.

        Raises:
            DataFileError: With the columns that the source has.
        """
        for setting, column in self._missing.items():
            if not self._seen:
                return  # an empty source has an error of its own
            near = difflib.get_close_matches(column, self._seen, n=1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise DataFileError(
                f"{source}: no row has a column {column!r}, which {setting} names "
                f"(found: {', '.join(self._seen)}){meant}"
            )


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file that exists, by its ending.

    Raises:
        DataFileError: If the ending is not known or a row cannot be read; with its line.
    """
    readers = {
        ".jsonl": _jsonl_rows,
        ".jsonl.gz": _jsonl_rows,
        ".json": _json_rows,
        ".csv": _csv_rows,
        ".parquet": _parquet_rows,
    }
    for ending, reader in readers.items():
        if path.name.lower().endswith(ending):
            return reader(path)
    raise DataFileError(f"{path}: format not known; use {', '.join(readers)}")


def data_set_rows(source: str) -> Iterator[Row]:
    """The rows of a data set: a folder that `save_to_disk` wrote, or `hf:owner/name[:split]`.

    Raises:
        DataFileError: If `datasets` is not installed, or there is no such data set.
    """
    try:
        import datasets
    except ImportError:
        raise DataFileError(
            f"{source}: reading data sets needs `pip install 'solon[datasets]'`"
        ) from None
    try:
        if source.startswith(HUB_PREFIX):
            name, _, split = source.removeprefix(HUB_PREFIX).partition(":")
            found = datasets.load_dataset(name, split=split or "train")
        else:
            found = datasets.load_from_disk(source)
    except (OSError, ValueError) as error:
        raise DataFileError(f"{source}: {' '.join(str(error).split())}") from None
    if isinstance(found, datasets.DatasetDict):
        names = ", ".join(found)
        raise DataFileError(f"{source} holds several splits ({names}); name the folder of one")
    return ((f"{source} row {number}", cells) for number, cells in enumerate(found, start=1))


def _jsonl_rows(path: Path) -> Iterator[Row]:
    for number, line in enumerate(_lines(path), start=1):
        place = f"{path} line {number}"
        if not line.strip():
            continue
        try:
            cells = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            raise DataFileError(f"{place}: not UTF-8; save the file as UTF-8") from None
        except json.JSONDecodeError as error:
            raise DataFileError(f"{place}: not JSON ({error.msg}); mend that line") from None
        yield place, _object(place, cells)


def _lines(path: Path) -> Iterator[bytes]:
    if path.suffix.lower() != ".gz":
        with path.open("rb") as stream:
            yield from stream
        return
    try:
        with gzip.open(path, "rb") as stream:
            yield from stream
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataFileError(f"{path}: not readable as gzip ({error})") from None


def _json_rows(path: Path) -> Iterator[Row]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataFileError(f"{path}: not JSON ({error})") from None
    if not isinstance(rows, list):
        raise DataFileError(f"{path}: must be a list of objects; use .jsonl for one a line")
    for number, cells in enumerate(rows, start=1):
        place = f"{path} row {number}"
        yield place, _object(place, cells)


def _object(place: str, cells: Any) -> Mapping[str, Any]:
    if not isinstance(cells, dict):
        raise DataFileError(f'{place}: must be an object such as {{"prompt": …}}')
    return cells


def _csv_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        try:
            for cells in reader:
                place = f"{path} line {reader.line_num}"
                if None in cells or None in cells.values():
                    raise DataFileError(f"{place}: more or fewer cells than the header names")
                yield place, cells
        except csv.Error as error:
            # The inner reader's count: DictReader's own stands still at the row before.
            raise DataFileError(f"{path} line {reader.reader.line_num}: {error}") from None
        except UnicodeDecodeError:
            raise DataFileError(f"{path}: not UTF-8; save the file as UTF-8") from None


def _parquet_rows(path: Path) -> Iterator[Row]:
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for cells in batch.to_pylist():
                    number += 1
                    yield f"{path} row {number}", cells
    except (pa.ArrowException, OSError) as error:
        raise DataFileError(f"{path}: not readable as Parquet ({error})") from None
