"""Other people's SQL, over a snapshot: it can read the facts and nothing else.

The snapshot is refreshed first when the store has moved on, unless that would keep writers
waiting: readers get at most a tenth of the writers' time.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from rlhf_core.errors import QueryError, StoreBusyError, StoreError
from rlhf_core.store.files import StoreFiles
from rlhf_core.store.migrations import all_migrations
from rlhf_core.store.opening import first_line
from rlhf_core.store.store import READ_TIMEOUT_SECONDS, Store, publish

logger = logging.getLogger(__name__)

COPY_SECONDS, COPY_SECONDS_PER_MB = 0.01, 0.001
REFRESH_TIMEOUT_SECONDS = 2.0
OPENING_ATTEMPTS = 3
DAMAGE = ("checksum", "corrupt", "could not read")
"""What DuckDB's errors say of a file that is not what it was written as."""
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

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        age_seconds: float,
        discard: Callable[[], None],
    ) -> None:
        self._connection = connection
        self.age_seconds = age_seconds
        self._discard = discard

    def ask(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Answer:
        """Run one statement, its parameters bound: $1 or ? by place, $name by name.

        Raises:
            QueryError: If the SQL is wrong, is more than one statement, or tries anything but to
                read.
            StoreError: If the snapshot turns out to be damaged.
        """
        try:
            if len(self._connection.extract_statements(sql)) != 1:
                raise QueryError("write exactly one SQL statement")
            result = self._connection.execute(sql, parameters)
            columns = [column[0] for column in result.description or []]
            return Answer(columns, result.fetchall(), self.age_seconds)
        except duckdb.Error as error:
            if _is_damage(error):
                self._discard()
                raise StoreError(
                    f"the store's snapshot is damaged ({first_line(error)}); it is made again when "
                    "you ask again"
                ) from None
            raise QueryError(" ".join(str(error).split())) from None


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
    connection, age_seconds = _open_snapshot(files)
    try:
        yield Snapshot(connection, age_seconds, lambda: _discard(files))
    finally:
        connection.close()


def audit(path: Path | str, sql: str) -> Answer:
    """What one statement of an auditor finds in the store at `path`; see `reading` and `ask`."""
    with reading(path) as snapshot:
        return snapshot.ask(sql)


def _refresh(files: StoreFiles) -> None:
    try:
        if not files.snapshot.exists():
            publish(files, READ_TIMEOUT_SECONDS)
        elif _is_worth_copying(files):
            publish(files, REFRESH_TIMEOUT_SECONDS)
    except StoreBusyError:
        if not files.snapshot.exists():
            raise
    except StoreError as error:
        if not files.snapshot.exists():
            raise
        logger.warning("answering from the last snapshot: %s", error)


def _is_worth_copying(files: StoreFiles) -> bool:
    """Whether there is news, and the last copy long enough ago."""
    try:
        snapshot = files.snapshot.stat()
    except FileNotFoundError:  # another reader found it damaged
        return True
    size_mb = files.database.stat().st_size / 1e6
    copy_seconds = COPY_SECONDS + COPY_SECONDS_PER_MB * size_mb
    return _has_news(files, snapshot.st_mtime_ns) and time.time() - snapshot.st_mtime > (
        10 * copy_seconds
    )


def _has_news(files: StoreFiles, moment_ns: int) -> bool:
    """Whether anything was written since, be it to a killed writer's log or to the spool."""
    for path in (files.database, files.log, files.spool):
        try:
            if path.stat().st_mtime_ns > moment_ns:
                return True
        except FileNotFoundError:
            continue
    return False


def _open_snapshot(files: StoreFiles) -> tuple[duckdb.DuckDBPyConnection, float]:
    """A connection to the snapshot and its age; one that cannot be read is made again.

    Raises:
        StoreError: If it cannot be opened even so.
    """
    reason = "it went away again and again"
    for _ in range(OPENING_ATTEMPTS):
        try:
            connection, age_seconds = _connect(files)
            if _has_schema(connection):
                return connection, age_seconds
            connection.close()
            reason = "it has a former schema"
            Store(files.database).publish()
        except FileNotFoundError:
            publish(files, READ_TIMEOUT_SECONDS)
        except duckdb.Error as error:
            reason = first_line(error)
            logger.warning("the snapshot is made again: %s", reason)
            _discard(files)
            publish(files, READ_TIMEOUT_SECONDS)
    raise StoreError(f"snapshot {files.snapshot} cannot be opened: {reason}")


def _connect(files: StoreFiles) -> tuple[duckdb.DuckDBPyConnection, float]:
    # Under a name of its own: DuckDB gives whoever opens the same name in one process again what
    # is open there already, and that may be a former snapshot.
    link = files.new_link()
    try:
        link.hardlink_to(files.snapshot)
    except FileNotFoundError:
        raise
    except OSError:  # a folder this user cannot write, or a file system without links
        link = files.snapshot
    try:
        found = link.stat()
        connection = duckdb.connect(str(link), read_only=True, config=AUDIT_SETTINGS)
    finally:
        if link != files.snapshot:
            link.unlink(missing_ok=True)
    if _size(connection) > found.st_size:
        connection.close()
        raise duckdb.IOException("the file ends too early")
    return connection, time.time() - found.st_mtime


def _size(connection: duckdb.DuckDBPyConnection) -> int:
    """Bytes that the file must have, by what stands in it; more are room to grow."""
    sql = "SELECT block_size * total_blocks FROM pragma_database_size()"
    found = connection.execute(sql).fetchone()
    return int(found[0]) if found else 0


def _discard(files: StoreFiles) -> None:
    """Have a damaged snapshot made again by whoever reads next; nothing is in it alone."""
    files.snapshot.unlink(missing_ok=True)


def _has_schema(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the views are there that this version asks."""
    found = connection.execute("SELECT max(number) FROM migrations").fetchone()
    return found is not None and found[0] >= all_migrations()[-1].number


def _is_damage(error: duckdb.Error) -> bool:
    # A wrong checksum is of no class of its own.
    is_low_level = isinstance(error, duckdb.IOException | duckdb.FatalException)
    return (is_low_level or type(error) is duckdb.Error) and any(
        word in str(error).lower() for word in DAMAGE
    )
