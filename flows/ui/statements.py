"""Queries of the SQL page with a visitor's statement, run in a process without web libraries."""

import io
from collections.abc import Mapping
from typing import Any

from flows.terminal.rows import Format, rows_of, write_rows
from rlhf_core.store import QueryResult, Snapshot

ROWS_READ = 10_000
"""Most rows that the page reads and charts."""
ROWS_IN_FILE = 200_000


def first_rows(
    snapshot: Snapshot, statement: str, values: Mapping[str, Any], timeout_seconds: float
) -> QueryResult:
    """Return the first ROWS_READ rows of a statement, and one more if there are more.

    Args:
        snapshot: The snapshot to query.
        statement: One statement that reads.
        values: Its parameters, by name.
        timeout_seconds: Time limit.
    """
    with snapshot.stream(statement, values, timeout_seconds) as cursor:
        rows = [tuple(row) for row in rows_of(cursor, ROWS_READ + 1)]
        return QueryResult(cursor.columns, rows, snapshot.age_seconds)


def as_csv(
    snapshot: Snapshot, statement: str, values: Mapping[str, Any], timeout_seconds: float
) -> str:
    """Return at most ROWS_IN_FILE rows of a statement as CSV; arguments as of `first_rows`.

    Args:
        snapshot: The snapshot to query.
        statement: One statement that reads.
        values: Its parameters, by name.
        timeout_seconds: Time limit.
    """
    stream = io.StringIO()
    with snapshot.stream(statement, values, timeout_seconds) as cursor:
        write_rows(Format.CSV, cursor, ROWS_IN_FILE, stream)
    return stream.getvalue()
