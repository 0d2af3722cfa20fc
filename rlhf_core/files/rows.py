"""Rows of JSONL, JSON, CSV, TSV and Parquet files and of data sets, each with its place.

This is the only reader of rows: prompts, labelled answers, imports and pairs of texts use it. A row
that cannot be read is an error that names file and line; nothing is skipped silently.
"""

import csv
import difflib
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlhf_core.errors import DataFileError

Row = tuple[str, Mapping[str, Any]]
"""Place of a row for errors, such as `FILE line 3`, and its cells by column."""
IsHeader = Callable[[Sequence[str]], bool]
"""Returns True if the first line of a table names its columns."""
HUB_PREFIX = "hf:"
TEXT_ENDINGS = (".tsv", ".txt")
"""Endings of tables with tabs, which only some callers accept."""


class NamedColumns:
    """The columns that a user named, to check that the source has them.

    A row may lack an optional column. If no row at all has it, the name is probably misspelt, and
    the source would otherwise be read as one without references, contexts or modes.

    Args:
        named: Name of each column, by the setting that names it, such as `prompts.columns.context`.
    """

    def __init__(self, named: Mapping[str, str]) -> None:
        self._missing = dict(named)
        self._seen: dict[str, None] = {}

    def see(self, cells: Mapping[str, Any]) -> None:
        """Record the columns of a row."""
        if self._missing:
            self._seen.update(dict.fromkeys(cells))
            self._missing = {k: v for k, v in self._missing.items() if v not in cells}

    def check(self, source: str) -> None:
        """Refuse a source without a named column; call this after the last row.

        Raises:
            DataFileError: If no row has a named column; lists the columns of the source.
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


def read_source(
    source: Path | str, is_header: IsHeader | None = None, fix: str = "name an existing one"
) -> Iterator[Row]:
    """Read the rows of a file, a data set's folder, or a data set on the hub.

    Args:
        source: Path of a file or folder, or `hf:owner/name[:split]`.
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
        path: A .jsonl, .jsonl.gz, .json, .csv or .parquet file.
        is_header: Decides whether the first line of a table is its header; other tables have
            columns numbered from 1, and .tsv and .txt files are accepted. None: the first line is
            always a header.

    Returns:
        The rows, in their order.

    Raises:
        DataFileError: If the ending is unknown or a row cannot be read; names file and line.
    """
    readers: dict[str, Callable[[Path], Iterator[Row]]] = {
        ".jsonl": _jsonl_rows,
        ".jsonl.gz": _jsonl_rows,
        ".json": _json_rows,
        ".csv": lambda path: _table_rows(path, _csv_lines(path), is_header),
        ".parquet": _parquet_rows,
    }
    if is_header is not None:
        readers |= dict.fromkeys(
            TEXT_ENDINGS, lambda path: _table_rows(path, _tsv_lines(path), is_header)
        )
    for ending, reader in readers.items():
        if path.name.lower().endswith(ending):
            return _readable(path, reader(path))
    raise DataFileError(f"{path}: format not known; use {', '.join(readers)}")


def data_set_rows(source: str) -> Iterator[Row]:
    """Read the rows of a data set: a folder of `save_to_disk`, or `hf:owner/name[:split]`.

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
            data_set = datasets.load_dataset(name, split=split or "train")
        else:
            data_set = datasets.load_from_disk(source)
    except (OSError, ValueError) as error:
        raise DataFileError(f"{source}: {' '.join(str(error).split())}") from None
    if isinstance(data_set, datasets.DatasetDict):
        names = ", ".join(data_set)
        raise DataFileError(f"{source} holds several splits ({names}); name the folder of one")
    return ((f"{source} row {number}", cells) for number, cells in enumerate(data_set, start=1))


def _readable(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    """Turn failures of the file system and of the encoding into errors that name file and line."""
    try:
        yield from rows
    except UnicodeDecodeError:
        raise _not_utf8(f"{path} line {_undecodable_line(path)}") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataFileError(f"{path}: {reason}; name a readable file") from None


def _undecodable_line(path: Path) -> int:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 1


def _not_utf8(place: str) -> DataFileError:
    return DataFileError(f"{place}: not UTF-8; save the file as UTF-8")


def _jsonl_rows(path: Path) -> Iterator[Row]:
    for number, line in enumerate(_lines(path), start=1):
        place = f"{path} line {number}"
        if not line.strip():
            continue
        try:
            cells = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError:
            raise _not_utf8(place) from None
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
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataFileError(f"{path} line {error.lineno}: not JSON ({error.msg})") from None
    if not isinstance(rows, list):
        raise DataFileError(f"{path}: must be a list of objects; use .jsonl for one a line")
    for number, cells in enumerate(rows, start=1):
        place = f"{path} row {number}"
        yield place, _object(place, cells)


def _object(place: str, cells: Any) -> Mapping[str, Any]:
    if not isinstance(cells, dict):
        raise DataFileError(f'{place}: must be an object such as {{"prompt": …}}')
    return cells


Lines = Iterator[tuple[int, list[str]]]
"""Cells of each line of a table, with its number."""


def _table_rows(path: Path, lines: Lines, is_header: IsHeader | None) -> Iterator[Row]:
    names: list[str] | None = None
    for number, cells in lines:
        if names is None:
            if is_header is None or is_header(cells):
                names = cells
                continue
            names = [str(place) for place in range(1, len(cells) + 1)]
        if len(cells) != len(names):
            raise DataFileError(
                f"{path} line {number}: {len(cells)} cells, but {len(names)} in the first line"
            )
        yield f"{path} line {number}", dict(zip(names, cells, strict=True))


def _csv_lines(path: Path) -> Lines:
    # The file's own line ends: a quoted cell may contain one.
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        try:
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
        except csv.Error as error:
            raise DataFileError(f"{path} line {reader.line_num}: {error}") from None


def _tsv_lines(path: Path) -> Lines:
    """Split lines at tabs; in data sets of this format a quotation mark is part of the text."""
    with path.open(encoding="utf-8-sig", newline="\n") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip("\r\n"):
                yield number, line.rstrip("\r\n").split("\t")


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
