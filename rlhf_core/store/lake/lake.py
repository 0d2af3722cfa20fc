"""The store of several machines: DuckLake, its catalog in PostgreSQL, its rows in Parquet files.

The files lie in a folder that all machines see, or in an object store.

The schema is the same and so is the rule of one writer at a time: an advisory lock in PostgreSQL
stands where a file's lock stands for one machine, so the anti-join on ids holds here too. Readers
need no lock, for each sees the catalog's last commit.

PostgreSQL's password comes from PGPASSWORD or a password file, as for every program of libpq, and
never from the address, which is written into logs and configs.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import duckdb

from rlhf_core.config.address import LakeAddress
from rlhf_core.errors import StoreBusyError, StoreError
from rlhf_core.identity import digest
from rlhf_core.store.disk.claims import Claim
from rlhf_core.store.disk.files import StoreFiles, prepare_folder
from rlhf_core.store.disk.opening import copy_rows
from rlhf_core.store.lake.catalog import (
    METADATA_SCHEMA,
    NO_DOWNLOADS,
    attach_catalog,
    load_extension,
    query_catalog,
    quoted,
    reason,
)
from rlhf_core.store.lake.erasing import erase_deleted, files_left_behind, sweep_catalog
from rlhf_core.store.lake.leases import LeaseClaim
from rlhf_core.store.lake.objects import open_object_store, refusal

LAKE, GUARD, SWEEP = "lake", "guard", "sweep"
SWEEP_TIMEOUT_SECONDS = 30
LOCK_KEY = int(digest(b"solon's store")[:15], 16)
"""Key of the advisory lock, the same on every machine."""


class Lake:
    """A database on DuckLake.

    Files of one machine (waiting batches, the copy that its auditors read) are in that user's cache
    folder.
    """

    def __init__(self, url: str) -> None:
        self.address = LakeAddress.parse(url)
        name = digest(repr(self.address).encode())
        folder = Path.home() / ".cache" / "solon" / "lakes" / name
        self.files = StoreFiles.at(folder / "lake.duckdb")

    def exists(self) -> bool:
        with self._attached() as connection:
            row = connection.execute(
                "SELECT count(*) FROM duckdb_tables() "
                "WHERE database_name = current_database() AND table_name = 'migrations'"
            ).fetchone()
        return bool(row and row[0])

    def mark(self) -> str | None:
        """Return None: other machines may have written at any time."""
        return None

    @contextmanager
    def connection(self, timeout_seconds: float) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the one connection that may write, with the lake as its current database.

        Raises:
            StoreBusyError: If another writer held the lock for longer, or PostgreSQL or the object
                store cannot be reached.
            StoreError: If an extension is not installed, the lake cannot be used, or the object
                store refuses the request.
            ConfigError: If the keys to the object store are missing.
        """
        prepare_folder(self.files)
        try:
            with (
                self._attached() as connection,
                _guarded(connection, self.address, timeout_seconds),
            ):
                yield connection
        except duckdb.HTTPException as error:
            raise refusal(self.address, error) from None
        except duckdb.IOException as error:
            raise StoreBusyError(
                f"store {self.address.catalog}: the catalog or the rows went away: {reason(error)}"
            ) from None

    def claim(self, work: str) -> Claim:
        """Return a claim on a piece of work, among all machines that share the lake."""
        return LeaseClaim(self.address.catalog, work)

    def copy(self, connection: duckdb.DuckDBPyConnection, target: Path) -> None:
        copy_rows(connection, target)

    def erase_deleted(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Erase deleted rows from the files of the lake; `sweep` erases them from the catalog."""
        erase_deleted(connection, LAKE)

    def sweep(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Erase deleted rows from the catalog; the connection cannot be used afterwards.

        Raises:
            StoreBusyError: If another program blocks the catalog's tables.
        """
        # Over a second connection to PostgreSQL: the one with the lock is in a transaction, where
        # tables cannot be rewritten.
        options = "&options=" + quote(f"-c lock_timeout={SWEEP_TIMEOUT_SECONDS * 1000}")
        connection.execute(f"USE memory; DETACH {LAKE}")
        connection.execute(
            f"ATTACH '{quoted(self.address.catalog + options)}' AS {SWEEP} (TYPE postgres)"
        )
        try:
            sweep_catalog(connection, SWEEP, METADATA_SCHEMA)
        except duckdb.Error as error:
            raise StoreBusyError(
                f"store {self.address.catalog}: the catalog could not be rewritten: "
                f"{reason(error)}; run again"
            ) from None

    def files_left_behind(self, connection: duckdb.DuckDBPyConnection) -> list[str]:
        """Return files of killed writers that may hold rows of the temporary table doomed."""
        return files_left_behind(connection, LAKE)

    @contextmanager
    def _attached(self) -> Iterator[duckdb.DuckDBPyConnection]:
        connection = duckdb.connect(config=NO_DOWNLOADS)
        try:
            _attach(connection, self.address)
            yield connection
        finally:
            connection.close()


def _attach(connection: duckdb.DuckDBPyConnection, address: LakeAddress) -> None:
    for extension in ("postgres_scanner", "ducklake"):
        load_extension(connection, extension)
    if address.is_in_object_store:
        load_extension(connection, "httpfs")
        open_object_store(connection, address)
    attach_catalog(connection, address.catalog, GUARD)
    options = f"DATA_PATH '{quoted(address.data)}', METADATA_SCHEMA '{METADATA_SCHEMA}'"
    try:
        connection.execute(
            f"ATTACH 'ducklake:postgres:{quoted(address.catalog)}' AS {LAKE} ({options})"
        )
        connection.execute(f"USE {LAKE}")
    except duckdb.Error as error:
        raise StoreError(f"store {address.catalog} is no lake of ours: {reason(error)}") from None


@contextmanager
def _guarded(
    connection: duckdb.DuckDBPyConnection, address: LakeAddress, timeout_seconds: float
) -> Iterator[None]:
    """Hold the catalog's advisory lock; PostgreSQL releases it if this process ends."""
    guard = connection.cursor()
    milliseconds = max(1, round(timeout_seconds * 1000))
    guard.execute("BEGIN")
    query_catalog(guard, GUARD, f"SELECT set_config('lock_timeout', '{milliseconds}', true)")
    try:
        query_catalog(guard, GUARD, f"SELECT pg_advisory_xact_lock({LOCK_KEY})")
    except duckdb.Error as error:
        guard.close()
        raise StoreBusyError(
            f"store {address.catalog} was locked for {timeout_seconds:.0f} s by another machine or "
            f"process: {reason(error)}"
        ) from None
    try:
        yield
    finally:
        # DuckDB would abort if a connection whose server is gone rolled back as it closed.
        with suppress(duckdb.Error):
            guard.execute("ROLLBACK")
        guard.close()
