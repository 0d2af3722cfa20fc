"""Run auditors' SQL on a snapshot, where it can read the facts and nothing else.

The snapshot is refreshed first if the store has changed, unless that would keep writers waiting:
readers get at most a tenth of the writers' time.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from rlhf_core.errors import QueryError, StoreBusyError, StoreError
from rlhf_core.store.database import Database, open_database
from rlhf_core.store.disk.files import StoreFiles
from rlhf_core.store.disk.opening import first_line
from rlhf_core.store.limits import QUERY_TIMEOUT_SECONDS, memory_bytes, stop_after
from rlhf_core.store.migrations import is_up_to_date
from rlhf_core.store.store import READ_TIMEOUT_SECONDS, Store, has_news, publish

logger = logging.getLogger(__name__)

COPY_SECONDS, COPY_SECONDS_PER_MB = 0.01, 0.001
REFRESH_TIMEOUT_SECONDS = 2.0
OPENING_ATTEMPTS = 3
DAMAGE = ("corrupt database file", "could not read enough bytes")
"""Parts of DuckDB's error messages about a damaged file."""
ROWS_AT_ONCE = 10_000
AUDIT_SETTINGS: dict[str, Any] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
    "temp_directory": "",
}
# A PIVOT is a MULTI: it makes a type for the values it finds, then selects.
READING = (
    duckdb.StatementType.SELECT,
    duckdb.StatementType.EXPLAIN,
    duckdb.StatementType.MULTI,
)
Parameters = Sequence[Any] | Mapping[str, Any]
_sealing = threading.Lock()


@dataclass(frozen=True)
class QueryResult:
    """The rows that a query returned, and the age of the data that it saw."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    age_seconds: float

    def as_dicts(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True)
class Cursor:
    """The result of a query while it is read, a batch of rows at a time."""

    columns: list[str]
    batches: Iterator[list[tuple[Any, ...]]]


@dataclass(frozen=True)
class ArrowCursor:
    """The result of a query as Arrow batches, with the types of its columns."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


class Snapshot:
    """A read-only copy of a store as it was at one moment. `reading` opens it."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        age_seconds: float,
        discard: Callable[[], None],
    ) -> None:
        self._connection = connection
        self.age_seconds = age_seconds
        self._discard = discard

    def query(
        self,
        sql: str,
        parameters: Parameters = (),
        timeout_seconds: float = QUERY_TIMEOUT_SECONDS,
    ) -> QueryResult:
        """Run one statement and return all its rows.

        Args:
            sql: The statement.
            parameters: Values of its placeholders: $1 or ? by place, $name by name.
            timeout_seconds: Longest time it may run.

        Returns:
            Columns, rows and the age of the snapshot.

        Raises:
            QueryError: If the SQL is wrong, is more than one statement, does anything but read, or
                exceeds the time or memory of an audit.
            StoreError: If the snapshot turns out to be damaged.
        """
        with self.stream(sql, parameters, timeout_seconds) as cursor:
            rows = [row for batch in cursor.batches for row in batch]
            return QueryResult(cursor.columns, rows, self.age_seconds)

    @contextmanager
    def stream(
        self,
        sql: str,
        parameters: Parameters = (),
        timeout_seconds: float = QUERY_TIMEOUT_SECONDS,
    ) -> Iterator[Cursor]:
        """Run one statement as `query` does, and stream its rows, which need not fit into memory.

        Args:
            sql: The statement.
            parameters: Values of its placeholders.
            timeout_seconds: Longest time until the last row is read.

        Returns:
            A context manager for the columns and the batches of rows.
        """
        with self._limited(sql, timeout_seconds):
            result = self._connection.execute(sql, parameters)
            columns = [column[0] for column in result.description or []]
            yield Cursor(columns, iter(lambda: result.fetchmany(ROWS_AT_ONCE), []))

    @contextmanager
    def stream_arrow(
        self,
        sql: str,
        parameters: Parameters = (),
        timeout_seconds: float = QUERY_TIMEOUT_SECONDS,
    ) -> Iterator[ArrowCursor]:
        """Run one statement as `stream` does, with Arrow batches as the result.

        Args:
            sql: The statement.
            parameters: Values of its placeholders.
            timeout_seconds: Longest time until the last batch is read.

        Returns:
            A context manager for the schema and the batches.
        """
        with self._limited(sql, timeout_seconds):
            # Only a relation streams: a result of execute() is copied whole before the first batch.
            relation = self._connection.sql(sql, params=parameters or None)
            reader = relation.to_arrow_reader(ROWS_AT_ONCE)
            yield ArrowCursor(reader.schema, _read(reader))

    @contextmanager
    def _limited(self, sql: str, timeout_seconds: float) -> Iterator[None]:
        with stop_after(self._connection, timeout_seconds) as is_over:
            try:
                _check_reads(self._connection, sql)
                yield
            except (duckdb.Error, MemoryError) as error:
                if is_over.is_set():
                    raise QueryError(
                        f"the query took longer than {timeout_seconds:g} s and was stopped; "
                        "select less, or allow it more time"
                    ) from None
                if isinstance(error, MemoryError) or "Out of Memory" in str(error):
                    raise QueryError(
                        f"the query needs more than {memory_bytes() / 2**30:.1f} GiB of memory, "
                        "half of what this machine has; filter or aggregate first"
                    ) from None
                if _is_damage(error):
                    self._discard()
                    raise StoreError(
                        f"the store's snapshot is damaged ({first_line(error)}); the next query "
                        "makes it again"
                    ) from None
                raise QueryError(" ".join(str(error).split())) from None


def _read(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    try:
        yield from reader
    except (OSError, pa.ArrowException) as error:  # what Arrow makes of DuckDB's errors
        raise duckdb.Error(str(error)) from None


def _check_reads(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = connection.extract_statements(sql)
    if len(statements) > 1 and not any(statement.query for statement in statements):
        # DuckDB 1.5 makes two statements of it that no user wrote, the first one a CREATE.
        raise QueryError("name the values of the PIVOT, as in ON outcome IN ('tie', 'first')")
    if len(statements) != 1:
        raise QueryError("write exactly one SQL statement")
    try:
        kind = statements[0].type
    except ValueError:  # a statement DuckDB knows and its Python does not
        kind = duckdb.StatementType.INVALID
    if kind not in READING:
        raise QueryError(
            f"the store is read-only, and {kind.name} is not a query: write SELECT, WITH, FROM, "
            "PIVOT, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN"
        )


def _seal(connection: duckdb.DuckDBPyConnection) -> None:
    """Disable the file system once the snapshot is open, and lock the configuration.

    Even without external access DuckDB can read and overwrite the database's own files: COPY … TO
    the snapshot, or to a log beside it that would be replayed into it. Readers of one process that
    open one name share an instance; the first of them seals it for all.
    """
    with _sealing:
        sealed = connection.execute("SELECT current_setting('lock_configuration')").fetchall()
        if not sealed[0][0]:
            connection.execute("SET disabled_filesystems = 'LocalFileSystem'")
            connection.execute("SET lock_configuration = true")


@contextmanager
def reading(path: Path | str) -> Iterator[Snapshot]:
    """Open the store's snapshot to read it, refreshed first if that keeps no writer waiting.

    Raises:
        StoreError: If there is no store at `path`.
    """
    database = open_database(path)
    files = database.files
    if not files.snapshot.exists() and not database.exists():
        raise StoreError(f"no store at {path}; `solon run CONFIG` makes one")
    _refresh(database)
    connection, age_seconds = _open_snapshot(path, database)
    try:
        _seal(connection)
        yield Snapshot(connection, age_seconds, lambda: _discard(files))
    finally:
        connection.close()


def _refresh(database: Database) -> None:
    snapshot = database.files.snapshot
    try:
        if not snapshot.exists():
            publish(database, READ_TIMEOUT_SECONDS)
        elif _is_worth_copying(database):
            publish(database, REFRESH_TIMEOUT_SECONDS)
    except StoreError as error:
        if not snapshot.exists():
            raise
        if not isinstance(error, StoreBusyError):
            logger.warning("reading the last snapshot, since it could not be refreshed: %s", error)


def _is_worth_copying(database: Database) -> bool:
    """Return True if there may be new facts and the last copy is old enough."""
    try:
        snapshot = database.files.snapshot.stat()
    except FileNotFoundError:  # another reader found it damaged
        return True
    copy_seconds = COPY_SECONDS + COPY_SECONDS_PER_MB * snapshot.st_size / 1e6
    age_seconds = time.time() - snapshot.st_mtime
    # The age of a snapshot from the future is unknown: the clock went back.
    return has_news(database) and not 0 <= age_seconds <= 10 * copy_seconds


def _open_snapshot(path: Path | str, database: Database) -> tuple[duckdb.DuckDBPyConnection, float]:
    """Connect to the snapshot and return the connection and its age in seconds.

    A snapshot that cannot be read, or has an earlier schema, is made again.

    Raises:
        StoreError: If it cannot be opened even so.
    """
    files, reason = database.files, "it was removed again and again"
    for _ in range(OPENING_ATTEMPTS):
        try:
            connection, age_seconds = _connect(database)
            if is_up_to_date(connection):
                return connection, age_seconds
            connection.close()
            reason = "it has an earlier schema"
            Store(path).publish()
        except FileNotFoundError:
            publish(database, READ_TIMEOUT_SECONDS)
        except duckdb.Error as error:
            reason = first_line(error)
            logger.warning("making the snapshot again: %s", reason)
            _discard(files)
            publish(database, READ_TIMEOUT_SECONDS)
    raise StoreError(f"snapshot {files.snapshot} cannot be opened: {reason}")


def _connect(database: Database) -> tuple[duckdb.DuckDBPyConnection, float]:
    files = database.files
    # Each reader opens its own name: if a process opens a name twice, DuckDB returns the database
    # that is open already, which may be an earlier snapshot.
    link = files.new_link()
    try:
        link.hardlink_to(files.snapshot)
    except FileNotFoundError:
        raise
    except OSError:  # a folder this user cannot write, or a file system without links
        link = files.snapshot
    settings = {**AUDIT_SETTINGS, "memory_limit": f"{memory_bytes()}B"}
    try:
        status = link.stat()
        connection = duckdb.connect(str(link), read_only=True, config=settings)
    finally:
        if link != files.snapshot:
            link.unlink(missing_ok=True)
    age_seconds = time.time() - status.st_mtime
    if age_seconds < 0 and has_news(database):
        logger.warning(
            "this machine's clock was set back, so the age of the snapshot is unknown; the store "
            "has newer facts"
        )
    return connection, max(0.0, age_seconds)


def _discard(files: StoreFiles) -> None:
    """Remove a damaged snapshot, so that the next reader makes it again from the store."""
    files.snapshot.unlink(missing_ok=True)


def _is_damage(error: Exception) -> bool:
    # A wrong checksum has no error class of its own.
    is_low_level = isinstance(error, duckdb.IOException | duckdb.FatalException)
    return (is_low_level or type(error) is duckdb.Error) and any(
        word in str(error).lower() for word in DAMAGE
    )
