"""Rows of JSON, CSV, TSV and Parquet files and of data sets, each with its place.

This is the only reader of rows: prompts, labelled answers, imports and pairs of texts use it. A row
that cannot be read is an error that names file and line; nothing is skipped silently.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rlhf_core.errors import DataFileError
from rlhf_core.files.cells import near_name
from rlhf_core.files.hub import HUB_PREFIX, data_set_rows
from rlhf_core.files.json_rows import json_rows, jsonl_rows
from rlhf_core.files.paths import MISSING, find_cell
from rlhf_core.files.streams import COMPRESSIONS, Row, format_ending
from rlhf_core.files.tables import IsHeader, csv_rows, parquet_rows, tsv_rows

FILE_ENDINGS = ".jsonl, .json, .csv, .tsv (each also as .gz or .zst) or .parquet"


class NamedColumns:
    """The columns that a user named, to check that the source has them.

    A row may lack an optional column. If no row at all has it, the name is probably misspelt, and
    the source would otherwise be read as one without references, contexts or modes.

    Args:
        named: Name of each column, by the setting that names it, such as `prompts.columns.context`.
    """

    def __init__(self, named: Mapping[str, str]) -> None:
        self._missing = dict(named)
        self._seen: dict[str, Any] = {}

    def see(self, cells: Mapping[str, Any]) -> None:
        """Record the columns of a row."""
        if self._missing:
            self._seen.update(cells)
            self._missing = {
                setting: name
                for setting, name in self._missing.items()
                if find_cell(cells, name) is MISSING
            }

    def check(self, source: str) -> None:
        """Refuse a source without a named column; call this after the last row.

        Raises:
            DataFileError: If no row has a named column; lists the columns of the source.
        """
        for setting, column in self._missing.items():
            if not self._seen:
                return  # an empty source has an error of its own
            raise DataFileError(
                f"{source}: no row has a column {column!r}, which {setting} names "
                f"(found: {', '.join(self._seen)}){near_name(column, self._seen)}"
            )


def read_source(
    source: Path | str, is_header: IsHeader | None = None, fix: str = "name an existing one"
) -> Iterator[Row]:
    """Read the rows of a file, a data set's folder, or a data set on the hub.

    Args:
        source: Path of a file or folder, or `hf:owner/name[:CONFIG][:SPLIT]`.
        is_header: As in `read_rows`.
        fix: Instruction for the user if the source does not exist.

    Returns:
        The rows, in their order.

    Raises:
        DataFileError: If the source does not exist or a row cannot be read; names file and line.
    """
    if str(source).startswith(HUB_PREFIX):
        return data_set_rows(str(source))
    path = Path(source).expanduser()
    if not path.exists():
        raise DataFileError(f"no file {source}; {fix}")
    return data_set_rows(str(path)) if path.is_dir() else read_rows(path, is_header)


def read_rows(path: Path, is_header: IsHeader | None = None) -> Iterator[Row]:
    """Read the rows of an existing file in the format of its ending.

    Args:
        path: A .jsonl, .json, .csv or .tsv file, plain or as .gz or .zst, or a .parquet file.
        is_header: Decides whether the first line of a table is its header; other tables have
            columns numbered from 1, and .txt files are accepted as tables. None: the first line is
            always a header.

    Returns:
        The rows, in their order.

    Raises:
        DataFileError: If the ending is unknown or a row cannot be read; names file and line.
    """
    readers: dict[str, Callable[[], Iterator[Row]]] = {
        ".jsonl": lambda: jsonl_rows(path),
        ".json": lambda: json_rows(path),
        ".csv": lambda: csv_rows(path, is_header),
        ".tsv": lambda: tsv_rows(path, is_header),
    }
    if is_header is not None:
        readers[".txt"] = readers[".tsv"]
    if path.suffix.lower() not in COMPRESSIONS:
        readers[".parquet"] = lambda: parquet_rows(path)
    reader = readers.get(format_ending(path))
    if reader is None:
        raise DataFileError(f"{path}: format not known; use {FILE_ENDINGS}")
    return _readable(path, reader())


def _readable(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    """Turn failures of the file system into errors that name the file."""
    try:
        yield from rows
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataFileError(f"{path}: {reason}; name a readable file") from None
