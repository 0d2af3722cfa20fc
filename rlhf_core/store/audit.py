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
from rlhf_core.store.files import StoreFiles
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

    def stream(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = (), batch: int = 1000
    ) -> Iterator[dict[str, Any]]:
        """The rows of a statement of ours, so many in memory; ask nothing else before the last."""
        result = self._connection.execute(sql, parameters)
        columns = [column[0] for column in result.description or []]
        while rows := result.fetchmany(batch):
            yield from (dict(zip(columns, row, strict=True)) for row in rows)


@contextmanager
def reading(path: Path | str) -> Iterator[Snapshot]:
    """The store's snapshot, refreshed where that keeps no writer waiting; it can only be read.

    Raises:
        StoreError: If there is no store at `path`.
    """
    files = StoreFiles.at(path)
    if not files.database.exists():
        raise StoreError(f"no store at {files.database}; `solon run CONFIG` makes one")
    _refresh(files)
    age_seconds = time.time() - files.snapshot.stat().st_mtime
    with duckdb.connect(str(files.snapshot), read_only=True, config=AUDIT_SETTINGS) as connection:
        yield Snapshot(connection, age_seconds)


def audit(path: Path | str, sql: str) -> Answer:
    """What one statement of an auditor finds in the store at `path`; see `reading` and `ask`."""
    with reading(path) as snapshot:
        return snapshot.ask(sql)


def _refresh(files: StoreFiles) -> None:
    if not files.snapshot.exists():
        Store(files.database).publish()
    elif _is_worth_copying(files):
        try:
            Store(files.database, read_timeout_seconds=REFRESH_TIMEOUT_SECONDS).publish()
        except StoreBusyError:
            return


def _is_worth_copying(files: StoreFiles) -> bool:
    database, snapshot = files.database.stat(), files.snapshot.stat()
    copy_seconds = database.st_size / 1e6 * COPY_SECONDS_PER_MB
    is_stale = database.st_mtime_ns > snapshot.st_mtime_ns
    return is_stale and time.time() - snapshot.st_mtime > 10 * copy_seconds
