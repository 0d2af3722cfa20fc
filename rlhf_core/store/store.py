"""The store: append facts, read facts, publish a snapshot. SQL for the stages is in queries.py.

Every access opens a short connection behind the store's lock. If an append cannot get the lock in
time, its batch is spooled and the next connection adds it, so a slow reader costs no work.
"""

import logging
import os
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from rlhf_core.errors import RecordError, StoreBusyError, StoreError
from rlhf_core.files.whole import whole_text
from rlhf_core.records import Record
from rlhf_core.store.columns import check_table, table_of, with_provenance
from rlhf_core.store.database import Database, open_database
from rlhf_core.store.disk.claims import Holder
from rlhf_core.store.disk.files import lock_store
from rlhf_core.store.disk.opening import copy_rows, first_line, open_connection
from rlhf_core.store.disk.spool import Batch, put_aside, remove_batch, spool, waiting_batches
from rlhf_core.store.lake.lake import Lake
from rlhf_core.store.migrations import migrate

logger = logging.getLogger(__name__)

AnyRecord = TypeVar("AnyRecord", bound=Record)
APPEND_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 60.0


class Store:
    """A database of facts, which are appended and never changed.

    Args:
        path: A DuckDB file, or the address of a lake; created if missing.
        run_id: The run that every appended row is marked with.
        read_timeout_seconds: Longest wait of a read for the store's lock.

    Raises:
        StoreError: If the file is not a store this version can use.
    """

    def __init__(
        self,
        path: Path | str,
        run_id: str = "",
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
    ) -> None:
        self.address = path
        self._database = open_database(path)
        self.files = self._database.files
        self.run_id = run_id or uuid.uuid4().hex[:12]
        self.read_timeout_seconds = read_timeout_seconds
        with self._connection(read_timeout_seconds) as connection:
            migrate(connection)

    def append(self, records: Iterable[Record]) -> int:
        """Add the facts that are not in the store yet, in one transaction.

        Returns:
            Number of new rows; 0 also if the batch had to wait in the spool.

        Raises:
            StoreError: If the batch could neither be added nor spooled. It is safe to append it
                again.
        """
        kinds: defaultdict[type[Record], dict[str, Record]] = defaultdict(dict)
        for record in records:
            kinds[type(record)][record.id] = record
        return self._write({kind: table_of(kind, kinds[kind].values()) for kind in kinds})

    def append_table(self, record_type: type[Record], table: pa.Table) -> int:
        """Add many facts of one kind from an Arrow table, as `append` does.

        Args:
            record_type: The kind of record that the rows are.
            table: The record's columns in any order, with `id` and without those that the store
                adds. Ids are not checked: compute them as `Record.id` does, since a fact with two
                ids is stored twice.

        Returns:
            Number of new rows, as `append`.

        Raises:
            RecordError: If the rows are not such records, or two have the same id. Nothing was
                written.
            StoreError: As `append`.
        """
        check_table(record_type, table)
        _refuse_repeated_ids(record_type, table)
        return self._write({record_type: table})

    def rows(
        self, record_type: type[AnyRecord], where: str = "true", parameters: Sequence[Any] = ()
    ) -> list[AnyRecord]:
        """Return the records of a table in the order in which they were written.

        Args:
            record_type: The kind of record.
            where: An SQL condition.
            parameters: Values of its placeholders.
        """
        sql = f"SELECT * FROM {record_type.table} WHERE {where} ORDER BY created_at, rowid"
        return [record_type.model_validate(row) for row in self.query(sql, parameters)]

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Return the rows of one of our own queries; auditors' queries go through `reading`."""
        with self._connection(self.read_timeout_seconds) as connection:
            result = connection.execute(sql, list(parameters))
            names = [column[0] for column in result.description]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def counts(self) -> dict[str, int]:
        """Return the number of rows of every table."""
        with self._connection(self.read_timeout_seconds) as connection:
            return count_rows(connection)

    def publish(self) -> Path:
        """Bring the snapshot up to date and return its path.

        The file is replaced, not changed, so a reader of the previous snapshot keeps its
        consistent view for as long as it likes.
        """
        return publish(self._database, self.read_timeout_seconds)

    def rewrite(self) -> None:
        """Rewrite the database and the snapshot, so that deleted rows leave the disk.

        DuckDB only marks rows as deleted. Rewriting takes some 20 ms a MB, and nobody writes
        meanwhile. A reader that holds the previous snapshot open keeps it, and its disk space,
        until it ends. Damaged files that were put aside stay: delete `*.damaged` by hand.

        In a lake, the files with deleted rows and the catalog are rewritten. Copies that other
        machines made for their auditors stay until those machines query the store again.

        Raises:
            StoreError: If there is no room for a second copy; the store is unchanged.
            StoreBusyError: If the lock, or the catalog of a lake, was busy.
        """
        if isinstance(self._database, Lake):
            with self._connection(self.read_timeout_seconds) as connection:
                self._database.erase_deleted(connection)
                _replace_snapshot(self._database, connection)
            # Over a new connection: the lock is a transaction, and a transaction keeps what was
            # there when it began from being swept.
            with self._database.connection(self.read_timeout_seconds) as connection:
                self._database.sweep(connection)
            return
        copy = self.files.new_copy()
        with lock_store(self.files, self.read_timeout_seconds):
            try:
                with open_connection(self.files) as connection:
                    _drain(connection, self.files.spool)
                    connection.execute("CHECKPOINT")
                    copy_rows(connection, copy)
                if self.files.log.exists():
                    raise StoreError(f"store {self.files.database} was written to; run again")
                os.replace(copy, self.files.database)
            finally:
                copy.unlink(missing_ok=True)
            with open_connection(self.files) as connection:
                _replace_snapshot(self._database, connection)

    @contextmanager
    def claimed(self, work: str, on_wait: Callable[[Holder], None]) -> Iterator[None]:
        """Be the only process that does a piece of work on this store, inside the context.

        Two processes that start the same stage therefore do it one after the other, and the second
        has nothing left to do. A process that is killed holds its claims no longer: in a lake,
        others notice within a minute.

        Args:
            work: Name of the work.
            on_wait: Called with the process that holds the claim, before each wait for it.
        """
        claim = self._database.claim(work)
        while (holder := claim.take()) is not None:
            on_wait(holder)
            time.sleep(claim.poll_seconds)
        try:
            yield
        finally:
            claim.release()

    def _write(self, tables: dict[type[Record], pa.Table]) -> int:
        """Add rows, or spool them if the store is busy. Nothing else writes facts."""
        now = datetime.now(UTC)
        batch = {
            kind.table: with_provenance(table, now, self.run_id)
            for kind, table in tables.items()
            if len(table)
        }
        if not batch:
            return 0
        try:
            with self._connection(APPEND_TIMEOUT_SECONDS) as connection:
                return insert(connection, batch)
        except StoreBusyError as error:
            logger.warning("%s; the batch waits in %s", error, self.files.spool)
            spool(self.files.spool, batch)
            return 0

    @contextmanager
    def _connection(self, timeout_seconds: float) -> Iterator[duckdb.DuckDBPyConnection]:
        with connect_store(self._database, timeout_seconds) as connection:
            yield connection


@contextmanager
def connect_store(
    database: Database, timeout_seconds: float
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the one connection that may write, and add the batches of the spool first."""
    with database.connection(timeout_seconds) as connection:
        _drain(connection, database.files.spool)
        yield connection


def publish(database: Database, timeout_seconds: float) -> Path:
    """Bring a snapshot up to date as `Store.publish` does, without migrating the store."""
    snapshot = database.files.snapshot
    with connect_store(database, timeout_seconds) as connection:
        if snapshot.exists() and not has_news(database):
            os.utime(snapshot)
        else:
            _replace_snapshot(database, connection)
    return snapshot


def count_rows(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Return the number of rows of every table of the current database."""
    tables = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE table_name <> 'migrations' "
        "AND database_name = current_database() ORDER BY 1"
    ).fetchall()
    return {name: _one(connection.execute(f"SELECT count(*) FROM {name}")) for (name,) in tables}


def _drain(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    for path, batch in waiting_batches(folder) if folder.is_dir() else ():
        try:
            insert(connection, batch)
        except (RecordError, duckdb.ProgrammingError) as error:
            put_aside(path, error)
        else:
            remove_batch(path)


def insert(connection: duckdb.DuckDBPyConnection, batch: Batch) -> int:
    """Add the rows whose ids are new in one transaction, over the connection that may write.

    Returns:
        Number of new rows.

    Raises:
        RecordError: If the columns cannot hold the rows; none was added.
    """
    added = 0
    connection.execute("BEGIN")
    try:
        for table, rows in batch.items():
            connection.register("batch", _new(connection, table, rows))
            added += _one(connection.execute(f"INSERT INTO {table} BY NAME FROM batch"))
            connection.unregister("batch")
    except (duckdb.DataError, duckdb.IntegrityError) as error:
        connection.execute("ROLLBACK")
        raise RecordError(f"rows that the store cannot hold: {first_line(error)}") from None
    except duckdb.ProgrammingError:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return added


def _new(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> pa.Table:
    """Return the rows with new ids, in their order, which an anti-join would not keep."""
    connection.register("batch", rows.select(["id"]))
    known = connection.sql(f"SELECT id FROM {table} SEMI JOIN batch USING (id)").to_arrow_table()
    connection.unregister("batch")
    if not len(known):
        return rows
    ids = rows.column("id").cast(pa.string())
    return rows.filter(pc.invert(pc.is_in(ids, value_set=known.column("id"))))


def _refuse_repeated_ids(record_type: type[Record], table: pa.Table) -> None:
    with duckdb.connect() as memory:
        memory.register("batch", table.select(["id"]))
        if _one(memory.execute("SELECT count(DISTINCT id) FROM batch")) == len(table):
            return
        repeated = "SELECT id FROM batch GROUP BY id HAVING count(*) > 1 ORDER BY id LIMIT 1"
        example = _one(memory.execute(repeated))
    raise RecordError(f"{record_type.table}: several rows have the id {example!r}")


def has_news(database: Database) -> bool:
    """Return True if the store may have facts that the snapshot lacks, whatever the clock says."""
    mark = _snapshot_mark(database)
    try:
        return mark is None or database.files.snapshot_mark.read_text(encoding="ascii") != mark
    except (OSError, UnicodeDecodeError):
        return True


def _snapshot_mark(database: Database) -> str | None:
    """Return the mark of the store and its snapshot; None if either is unknown."""
    mark = database.mark()
    if mark is None:
        return None
    try:
        return f"{mark} {database.files.snapshot.stat().st_ino}"
    except FileNotFoundError:
        return None


def _replace_snapshot(database: Database, connection: duckdb.DuckDBPyConnection) -> None:
    copy, files = database.files.new_copy(), database.files
    try:
        database.copy(connection, copy)
        os.replace(copy, files.snapshot)
    finally:
        copy.unlink(missing_ok=True)
    # Written after the snapshot: if killed in between, the old mark causes another copy.
    if mark := _snapshot_mark(database):
        with whole_text(files.snapshot_mark) as stream:
            stream.write(mark)


def _one(result: duckdb.DuckDBPyConnection) -> Any:
    row = result.fetchone()
    assert row is not None, "an aggregate always has a row"
    return row[0]
