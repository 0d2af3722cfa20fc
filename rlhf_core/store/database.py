"""The database that a store's address names: one DuckDB file, or a lake.

A connection is short. While it lasts, no other connection writes.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import duckdb

from rlhf_core.config.address import PREFIX
from rlhf_core.store.disk.claims import Claim, FileClaim
from rlhf_core.store.disk.files import StoreFiles, copy_file, lock_store, prepare_folder
from rlhf_core.store.disk.opening import open_connection
from rlhf_core.store.lake.lake import Lake


class Database(Protocol):
    """A database that keeps a store."""

    @property
    def files(self) -> StoreFiles:
        """The paths of the lock, the spool and the snapshot on this machine."""

    def exists(self) -> bool:
        """Return True if there is a store; never create one."""

    def mark(self) -> str | None:
        """Return a text that changes whenever the facts may have changed; None if unknown.

        Compare marks for equality, never by which is newer: a clock may go back.
        """

    def connection(
        self, timeout_seconds: float
    ) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the one connection that may write.

        Raises:
            StoreBusyError: If another connection held the lock for longer than the timeout.
            StoreError: If the database cannot be opened, or read or written while it is open.
        """

    def claim(self, work: str) -> Claim:
        """Return a claim on a piece of work, among all processes that share the database."""

    def copy(self, connection: duckdb.DuckDBPyConnection, target: Path) -> None:
        """Copy all facts into a new database file, over the connection that may write.

        Raises:
            StoreError: If there is no room.
        """


class DatabaseFile:
    """One DuckDB file, behind a lock beside it."""

    def __init__(self, path: Path | str) -> None:
        self.files = StoreFiles.at(path)

    def exists(self) -> bool:
        return self.files.database.exists()

    def mark(self) -> str | None:
        """Return inode, size and time of the database, a killed writer's log and the spool."""
        marks = []
        for path in (self.files.database, self.files.log, self.files.spool):
            try:
                status = path.stat()
            except FileNotFoundError:
                marks.append("-")
            else:
                marks.append(f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}")
        return " ".join(marks)

    @contextmanager
    def connection(self, timeout_seconds: float) -> Iterator[duckdb.DuckDBPyConnection]:
        prepare_folder(self.files)
        with lock_store(self.files, timeout_seconds), open_connection(self.files) as connection:
            yield connection

    def claim(self, work: str) -> Claim:
        return FileClaim(self.files.claims, work)

    def copy(self, connection: duckdb.DuckDBPyConnection, target: Path) -> None:
        """Copy the file, which is complete after a checkpoint since nobody else writes to it."""
        connection.execute("CHECKPOINT")
        copy_file(self.files.database, target)


def open_database(address: Path | str) -> Database:
    """Return the lake of a `ducklake:` address, or else the DuckDB file at that path."""
    if isinstance(address, str) and address.startswith(PREFIX):
        return Lake(address)
    return DatabaseFile(address)


def store_exists(address: Path | str) -> bool:
    """Return True if there is a store at an address; never create one."""
    return open_database(address).exists()
