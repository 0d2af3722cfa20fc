"""Other people's SQL, over a snapshot: it can read the facts and nothing else.

The snapshot is refreshed first when the store has moved on, unless that would keep writers
waiting: copying takes about 20 ms a MB, and readers get at most a tenth of the writers' time.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from rlhf_core.errors import QueryError, StoreBusyError, StoreError
from rlhf_core.store.database import Database, open_database
from rlhf_core.store.store import Store

COPY_SECONDS_PER_MB = 0.02
REFRESH_TIMEOUT_SECONDS = 2.0
AUDIT_SETTINGS: dict[str, Any] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
    "lock_configuration": True,
}


@dataclass(frozen=True)
class Answer:
    """What a query returned, and how old the data is that it saw."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    age_seconds: float

    def as_dicts(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Snapshot:
    """A store as it was at one moment. Made by `reading`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, age_seconds: float) -> None:
        self._connection = connection
        self.age_seconds = age_seconds

    def ask(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Answer:
        """Run one statement, its parameters bound: $1 or ? by place, $name by name.

        Raises:
            QueryError: If the SQL is wrong, is more than one statement, or tries anything but to
                read.
        """
        try:
            if len(self._connection.extract_statements(sql)) != 1:
                raise QueryError("write exactly one SQL statement")
            result = self._connection.execute(sql, parameters)
            columns = [column[0] for column in result.description or []]
            return Answer(columns, result.fetchall(), self.age_seconds)
        except duckdb.Error as error:
            raise QueryError(" ".join(str(error).split())) from None


@contextmanager
def reading(path: Path | str) -> Iterator[Snapshot]:
    """The store's snapshot, refreshed where that keeps no writer waiting; it can only be read.

    Raises:
        StoreError: If there is no store at `path`.
    """
    database = open_database(path)
    files = database.files
    if not files.snapshot.exists() and not database.exists():
        raise StoreError(f"no store at {path}; `solon run CONFIG` makes one")
    _refresh(path, database)
    age_seconds = time.time() - files.snapshot.stat().st_mtime
    with duckdb.connect(str(files.snapshot), read_only=True, config=AUDIT_SETTINGS) as connection:
        yield Snapshot(connection, age_seconds)


def audit(path: Path | str, sql: str) -> Answer:
    """What one statement of an auditor finds in the store at `path`; see `reading` and `ask`."""
    with reading(path) as snapshot:
        return snapshot.ask(sql)


def _refresh(path: Path | str, database: Database) -> None:
    if not database.files.snapshot.exists():
        Store(path).publish()
    elif _is_worth_copying(database):
        try:
            Store(path, read_timeout_seconds=REFRESH_TIMEOUT_SECONDS).publish()
        except StoreBusyError:
            return


def _is_worth_copying(database: Database) -> bool:
    snapshot = database.files.snapshot.stat()
    copy_seconds = snapshot.st_size / 1e6 * COPY_SECONDS_PER_MB
    is_stale = database.changed_since(snapshot.st_mtime_ns)
    return is_stale and time.time() - snapshot.st_mtime > 10 * copy_seconds
