"""The store: append facts, read facts, publish a snapshot. SQL for the stages is in queries.py.

Every access is a short connection behind the store's lock. An append that cannot get the lock in
time is spooled and drained by whoever comes next, so no work is lost to a reader that lingers.
"""

import logging
import os
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from rlhf_core.errors import StoreBusyError
from rlhf_core.identity import code_version
from rlhf_core.records import Record
from rlhf_core.store.database import open_database
from rlhf_core.store.migrations import migrate
from rlhf_core.store.spool import Batch, spool, spooled

logger = logging.getLogger(__name__)

AnyRecord = TypeVar("AnyRecord", bound=Record)
APPEND_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 60.0


class Store:
    """A database of facts.

    Args:
        path: A DuckDB file, or the address of a lake; made where it is missing.
        run_id: Written into every appended row.
        read_timeout_seconds: How long a read waits for the store's lock.

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
        """Add the facts that are not there yet, in one transaction; the only way to write.

        Returns:
            How many rows are new. 0 too when the batch had to wait in the spool.
        """
        batch = self._rows(records)
        if not batch:
            return 0
        try:
            with self._connection(APPEND_TIMEOUT_SECONDS) as connection:
                return _insert(connection, batch)
        except StoreBusyError:
            logger.warning("store is busy; the batch waits in %s", self.files.spool)
            spool(self.files.spool, batch)
            return 0

    def rows(
        self, record_type: type[AnyRecord], where: str = "true", parameters: Sequence[Any] = ()
    ) -> list[AnyRecord]:
        """The records of a table, in the order they were written."""
        sql = f"SELECT * FROM {record_type.table} WHERE {where} ORDER BY created_at, rowid"
        return [record_type.model_validate(row) for row in self.query(sql, parameters)]

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Rows of a query of ours; an auditor's go through audit.py."""
        with self._connection(self.read_timeout_seconds) as connection:
            result = connection.execute(sql, list(parameters))
            names = [column[0] for column in result.description]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def counts(self) -> dict[str, int]:
        """Rows of every table."""
        with self._connection(self.read_timeout_seconds) as connection:
            tables = connection.execute(
                "SELECT table_name FROM duckdb_tables() WHERE table_name <> 'migrations' "
                "AND database_name = current_database() ORDER BY 1"
            ).fetchall()
            return {
                name: _one(connection.execute(f"SELECT count(*) FROM {name}")) for (name,) in tables
            }

    def publish(self) -> Path:
        """Copy the store into its snapshot, which auditors may hold open for as long as they like.

        A reader of the former snapshot keeps its consistent view: the file is replaced, not
        changed.
        """
        target = self.files.snapshot.with_name(f".{uuid.uuid4().hex}.duckdb")
        try:
            with self._connection(self.read_timeout_seconds) as connection:
                connection.execute(f"ATTACH '{_quoted(target)}' AS snapshot")
                database = _one(connection.execute("SELECT current_database()"))
                connection.execute(f'COPY FROM DATABASE "{database}" TO snapshot')
                connection.execute("DETACH snapshot")
            os.replace(target, self.files.snapshot)
        finally:
            target.unlink(missing_ok=True)
        return self.files.snapshot

    def _rows(self, records: Iterable[Record]) -> dict[str, list[dict[str, Any]]]:
        provenance = {
            "created_at": datetime.now(UTC).isoformat(),
            "run_id": self.run_id,
            "code_version": code_version(),
        }
        batch: defaultdict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        for record in records:
            batch[record.table][record.id] = {**record.model_dump(mode="json"), **provenance}
        return {table: list(rows.values()) for table, rows in batch.items()}

    @contextmanager
    def _connection(self, timeout_seconds: float) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._database.connection(timeout_seconds) as connection:
            _drain(connection, self.files.spool)
            yield connection


def _drain(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    for path, batch in spooled(folder) if folder.is_dir() else ():
        _insert(connection, batch)
        path.unlink()


def _insert(connection: duckdb.DuckDBPyConnection, batch: Batch) -> int:
    added = 0
    connection.execute("BEGIN")
    for table, rows in batch.items():
        connection.register("batch", _arrow(rows))
        added += _one(
            connection.execute(
                f"INSERT INTO {table} BY NAME "
                f"SELECT batch.* FROM batch ANTI JOIN {table} USING (id)"
            )
        )
        connection.unregister("batch")
    connection.execute("COMMIT")
    return added


def _arrow(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows])


def _one(result: duckdb.DuckDBPyConnection) -> Any:
    row = result.fetchone()
    assert row is not None, "an aggregate always has a row"
    return row[0]


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
