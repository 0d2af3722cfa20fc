"""Writing a query's rows as CSV, JSON, JSON lines or Parquet, batch by batch."""

import csv
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from typing import Any, BinaryIO, Protocol

from flows.terminal.screen import safe_text
from rlhf_core.errors import QueryError
from rlhf_core.store.snapshot import ArrowCursor, Cursor

Row = Sequence[Any]
NUMBERS = (int, float, Decimal, type(None))
"""Types that CSV holds as they are; a null is an empty cell."""
FORMULA_STARTS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""First letters of formulas in one spreadsheet or another; the last four are their wide forms."""


class TextWriter(Protocol):
    """A stream that text is written to."""

    def write(self, text: str, /) -> object: ...


class Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"


def rows_of(cursor: Cursor, limit: int | None) -> Iterator[Row]:
    rows = (row for batch in cursor.batches for row in batch)
    return islice(rows, limit)


def write_rows(kind: Format, cursor: Cursor, limit: int | None, stream: TextWriter) -> int:
    """Write rows as text.

    Args:
        kind: CSV, JSON or JSON lines.
        cursor: The open query.
        limit: Most rows; None writes all.
        stream: The stream to write to.

    Returns:
        Number of rows written.
    """
    writers: dict[Format, Callable[[Sequence[str], Iterator[Row], TextWriter], int]] = {
        Format.CSV: _csv,
        Format.JSON: _json,
        Format.JSONL: _jsonl,
    }
    return writers[kind](cursor.columns, rows_of(cursor, limit), stream)


def write_parquet(cursor: ArrowCursor, limit: int | None, stream: BinaryIO) -> int:
    """Write rows as Parquet, with the types of their columns.

    Args:
        cursor: The open query.
        limit: Most rows; None writes all.
        stream: The file to write to.

    Returns:
        Number of rows written.

    Raises:
        QueryError: If Parquet has no type for a column.
    """
    import pyarrow as pa
    from pyarrow import parquet

    written = 0
    try:
        with parquet.ParquetWriter(stream, cursor.schema) as writer:
            for batch in cursor.batches:
                rest = batch if limit is None else batch[: limit - written]
                writer.write_batch(rest)
                written += rest.num_rows
                if written == limit:
                    break
    except pa.ArrowNotImplementedError as error:
        raise QueryError(f"Parquet cannot hold this: {error}; cast the column to VARCHAR") from None
    return written


@contextmanager
def standard_output() -> Iterator[TextWriter]:
    """Yield standard output; on a terminal, control characters are escaped."""
    with suppress(BrokenPipeError):  # `| head` has read enough
        yield _Terminal() if sys.stdout.isatty() else sys.stdout
        sys.stdout.flush()


class _Terminal:
    def write(self, text: str) -> int:
        return sys.stdout.write(safe_text(text))


def _csv(columns: Sequence[str], rows: Iterator[Row], stream: TextWriter) -> int:
    """Write texts in quotes, so that 00123 stays a text; a null is an empty cell.

    A text that a spreadsheet would run as a formula gets an apostrophe in front, because models and
    users wrote it (https://owasp.org/www-community/attacks/CSV_Injection).
    """
    writer = csv.writer(stream, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow([_cell(name) for name in columns])
    written = 0
    for row in rows:
        writer.writerow([_cell(value) for value in row])
        written += 1
    return written


def _cell(value: Any) -> Any:
    kind = type(value)
    if kind in NUMBERS:
        return value
    if kind is bool:
        return "true" if value else "false"
    text = value if kind is str else _as_text(value)
    return f"'{text}" if text[:1] in FORMULA_STARTS and not _is_number(text) else text


def _is_number(text: str) -> bool:
    """Return True if a text is a signed number, which is no formula."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _as_text(value: Any) -> str:
    return _dump(value) if isinstance(value, list | tuple | dict) else str(value)


def _json(columns: Sequence[str], rows: Iterator[Row], stream: TextWriter) -> int:
    written = 0
    for row in rows:
        stream.write(",\n" if written else "[\n")
        stream.write(_dump(dict(zip(columns, row, strict=True))))
        written += 1
    stream.write("\n]\n" if written else "[]\n")
    return written


def _jsonl(columns: Sequence[str], rows: Iterator[Row], stream: TextWriter) -> int:
    written = 0
    for row in rows:
        stream.write(_dump(dict(zip(columns, row, strict=True))) + "\n")
        written += 1
    return written


_encode = json.JSONEncoder(default=str, ensure_ascii=False, allow_nan=False).encode
"""One encoder for all values: json.dumps makes a new one for each call."""


def _dump(value: Any) -> str:
    try:
        return _encode(value)
    except (ValueError, TypeError):  # a number that JSON lacks, or a key that is no text
        return _encode(_finite(value))


def _finite(value: Any) -> Any:
    """Return the value with nan, inf and -inf as texts, because JSON has no such numbers."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, dict):
        return {
            key if isinstance(key, str | int | None) else str(key): _finite(part)
            for key, part in value.items()
        }
    return value
