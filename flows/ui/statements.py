"""What the SQL page asks with a visitor's statement. Loads no web library: it runs elsewhere."""

import io
from collections.abc import Mapping
from typing import Any

from flows.terminal.rows import Format, rows_of, write_rows
from rlhf_core.store import QueryResult, Snapshot

ROWS_READ = 10_000
"""Of which a chart is drawn."""
ROWS_IN_FILE = 200_000


def rows_found(
    snapshot: Snapshot, statement: str, values: Mapping[str, Any], timeout_seconds: float
) -> QueryResult:
    """The first ROWS_READ rows, and one more where there are more."""
    with snapshot.stream(statement, values, timeout_seconds) as cursor:
        rows = [tuple(row) for row in rows_of(cursor, ROWS_READ + 1)]
        return QueryResult(cursor.columns, rows, snapshot.age_seconds)


def as_csv(
    snapshot: Snapshot, statement: str, values: Mapping[str, Any], timeout_seconds: float
) -> str:
    """ROWS_IN_FILE rows at most, as a CSV file has them."""
    stream = io.StringIO()
    with snapshot.stream(statement, values, timeout_seconds) as cursor:
        write_rows(Format.CSV, cursor, ROWS_IN_FILE, stream)
    return stream.getvalue()
