"""Which database a store's address names, and connections to it: one file, or a lake.

A connection is short and, while it lasts, the only one that writes.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import duckdb

from rlhf_core.config.address import PREFIX
from rlhf_core.store.disk.files import StoreFiles, copy_file, lock_store, prepare_folder
from rlhf_core.store.disk.opening import open_connection
from rlhf_core.store.lake.lake import Lake


class Database(Protocol):
    """What a store is kept in."""

    @property
    def files(self) -> StoreFiles:
        """Where the lock, the spool and the snapshot lie on this machine."""

    def exists(self) -> bool:
        """Whether there is a store; none is made by asking."""

    def mark(self) -> str | None:
        """A text that is another one as soon as there may be other facts; None if nobody can tell.

        Marks are compared for equality and never by which is newer: a clock may go back.
        """

    def connection(
        self, timeout_seconds: float
    ) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """The one connection that may write.

        Raises:
            StoreBusyError: If it could not be had in time.
            StoreError: If the database cannot be opened, or read or written while it is open.
        """

    def copy(self, connection: duckdb.DuckDBPyConnection, target: Path) -> None:
        """Put all facts into a database file of their own, over the connection that may write.

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
        """Of the database, a killed writer's log and the spool: which files, how long, when."""
        marks = []
        for path in (self.files.database, self.files.log, self.files.spool):
            try:
                found = path.stat()
            except FileNotFoundError:
                marks.append("-")
            else:
                marks.append(f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}")
        return " ".join(marks)

    @contextmanager
    def connection(self, timeout_seconds: float) -> Iterator[duckdb.DuckDBPyConnection]:
        prepare_folder(self.files)
        with lock_store(self.files, timeout_seconds), open_connection(self.files) as connection:
            yield connection

    def copy(self, connection: duckdb.DuckDBPyConnection, target: Path) -> None:
        """A copy of the file, which is whole after a checkpoint: nobody writes to it now."""
        connection.execute("CHECKPOINT")
        copy_file(self.files.database, target)


def open_database(address: Path | str) -> Database:
    """The lake of a `ducklake:` address, else the file of that path."""
    if isinstance(address, str) and address.startswith(PREFIX):
        return Lake(address)
    return DatabaseFile(address)


def store_exists(address: Path | str) -> bool:
    """Whether there is a store at an address; none is made by asking."""
    return open_database(address).exists()
