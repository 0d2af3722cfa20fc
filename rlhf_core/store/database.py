"""Which database a store's address names, and connections to it: one file, or a lake.

A connection is short and, while it lasts, the only one that writes.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import duckdb

from rlhf_core.config.address import PREFIX
from rlhf_core.errors import StoreBusyError, StoreError
from rlhf_core.store.files import StoreFiles, locked, prepare_folder
from rlhf_core.store.lake import Lake

# Readable by every DuckDB shell since 1.4; no extension is ever fetched because of a typo.
CONNECTION_SETTINGS: dict[str, Any] = {
    "storage_compatibility_version": "v1.4.0",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


class Database(Protocol):
    """What a store is kept in."""

    @property
    def files(self) -> StoreFiles:
        """Where the lock, the spool and the snapshot lie on this machine."""

    def exists(self) -> bool:
        """Whether there is a store; none is made by asking."""

    def changed_since(self, moment_ns: int) -> bool:
        """Whether there may be facts that a snapshot of that moment has not."""

    def connection(
        self, timeout_seconds: float
    ) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """The one connection that may write.

        Raises:
            StoreBusyError: If it could not be had in time.
            StoreError: If the database cannot be opened.
        """


class DatabaseFile:
    """One DuckDB file, behind a lock beside it."""

    def __init__(self, path: Path | str) -> None:
        self.files = StoreFiles.at(path)

    def exists(self) -> bool:
        return self.files.database.exists()

    def changed_since(self, moment_ns: int) -> bool:
        return self.files.database.stat().st_mtime_ns > moment_ns

    @contextmanager
    def connection(self, timeout_seconds: float) -> Iterator[duckdb.DuckDBPyConnection]:
        prepare_folder(self.files)
        with locked(self.files, timeout_seconds):
            connection = _connect(self.files.database)
            try:
                yield connection
            finally:
                connection.close()


def open_database(address: Path | str) -> Database:
    """The lake of a `ducklake:` address, else the file of that path."""
    if isinstance(address, str) and address.startswith(PREFIX):
        return Lake(address)
    return DatabaseFile(address)


def store_exists(address: Path | str) -> bool:
    """Whether there is a store at an address; none is made by asking."""
    return open_database(address).exists()


def _connect(database: Path) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(str(database), config=CONNECTION_SETTINGS)
    except duckdb.IOException as error:
        if "lock" in str(error).lower():
            raise StoreBusyError(
                f"store {database} is held open by another program; close it there and read "
                "through `solon sql`"
            ) from None
        raise StoreError(f"store {database} cannot be opened: {_first_line(error)}") from None
    except duckdb.Error as error:
        raise StoreError(f"store {database} cannot be opened: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
