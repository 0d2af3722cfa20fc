"""Rows of tables: values separated by commas, semicolons or tabs, and Parquet."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlhf_core.errors import DataFileError
from rlhf_core.files.streams import Row, not_utf8, open_bytes

IsHeader = Callable[[Sequence[str]], bool]
"""Returns True if the first line of a table names its columns."""
Lines = Iterator[tuple[int, list[str]]]
"""Cells of each line of a table, with its number."""
SEPARATORS = (",", "\t", ";")
LONGEST_CELL = 2**31 - 1
"""Characters; the default of the csv module, 131,072, is shorter than many documents."""


def csv_rows(path: Path, is_header: IsHeader | None) -> Iterator[Row]:
    """Yield the rows of a table whose cells may be quoted.

    Args:
        path: The file. Its first line tells the separator: a comma, else a tab, else a semicolon.
        is_header: Decides whether the first line names the columns, which else are numbered from
            1. None: it does.

    Raises:
        DataFileError: If a line cannot be read, or has another number of cells than the first.
    """
    return _table_rows(path, _csv_lines(path), is_header)


def tsv_rows(path: Path, is_header: IsHeader | None) -> Iterator[Row]:
    """Yield the rows of a table with tabs, where a quotation mark is part of the text.

    Args:
        path: The file.
        is_header: As in `csv_rows`.

    Raises:
        DataFileError: As `csv_rows`.
    """
    return _table_rows(path, _tsv_lines(path), is_header)


def parquet_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a Parquet file.

    Raises:
        DataFileError: If the file is not Parquet, names two columns alike, or holds values that
            Python has no type for.
    """
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            _refuse_repeated(str(path), file.schema_arrow.names)
            for batch in file.iter_batches():
                for cells in batch.to_pylist():
                    number += 1
                    yield f"{path} row {number}", cells
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise DataFileError(f"{path}: not readable as Parquet ({reason})") from None


def _table_rows(path: Path, lines: Lines, is_header: IsHeader | None) -> Iterator[Row]:
    names: list[str] | None = None
    for number, cells in lines:
        if names is None:
            if is_header is None or is_header(cells):
                _refuse_repeated(f"{path} line {number}", cells)
                names = cells
                continue
            names = [str(place) for place in range(1, len(cells) + 1)]
        if len(cells) != len(names):
            raise DataFileError(
                f"{path} line {number}: {len(cells)} cells, but {len(names)} in the first line; "
                "quote cells that contain the separator"
            )
        yield f"{path} line {number}", dict(zip(names, cells, strict=True))


def _refuse_repeated(place: str, names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataFileError(f"{place}: two columns are named {twice!r}; rename one of them")


def _csv_lines(path: Path) -> Lines:
    csv.field_size_limit(LONGEST_CELL)
    with open_bytes(path) as source:
        # The file's own line ends: a quoted cell may contain one.
        stream = io.TextIOWrapper(source, encoding="utf-8-sig", newline="")
        try:
            first = stream.readline()
            reader = csv.reader(chain([first], stream), delimiter=_separator(first), strict=True)
            yield from _records(path, reader)
        except UnicodeDecodeError:
            raise not_utf8(path) from None


def _records(path: Path, reader: Any) -> Lines:
    start = 1
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataFileError(
            f"{path} line {start}: {error}; write a quotation mark in a quoted cell twice"
        ) from None


def _separator(header: str) -> str:
    bare = re.sub(r'"[^"]*"', "", header)
    return next((mark for mark in SEPARATORS if mark in bare), SEPARATORS[0])


def _tsv_lines(path: Path) -> Lines:
    with open_bytes(path) as source:
        stream = io.TextIOWrapper(source, encoding="utf-8-sig", newline="\n")
        try:
            for number, line in enumerate(stream, start=1):
                if line.strip("\r\n"):
                    yield number, line.rstrip("\r\n").split("\t")
        except UnicodeDecodeError:
            raise not_utf8(path) from None
