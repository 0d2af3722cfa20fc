"""The state of a store for `solon doctor`: its versions, its size, and who holds its lock.

Nothing is created, migrated or copied.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psutil

from rlhf_core.errors import StoreBusyError
from rlhf_core.store.database import open_database
from rlhf_core.store.disk.files import StoreFiles
from rlhf_core.store.migrations import all_migrations, newest_migration

COMMAND_SHOWN = 120
LOCKS = Path("/proc/locks")
"""The kernel's list of file locks; only Linux has it."""


@dataclass(frozen=True)
class StoreState:
    """A store as it is at this moment."""

    exists: bool
    newest: int | None = None
    """Number of its newest migration; None if there is no store."""
    known: int = 0
    """Number of the newest migration of this version of Solon."""
    storage: str = ""
    """Version of DuckDB from which on the file can be read; empty for a lake."""
    spooled: int = 0
    """Batches that wait for a writer."""


def examine(address: Path | str, timeout_seconds: float) -> StoreState:
    """Return the state of a store.

    Args:
        address: A DuckDB file, or the address of a lake.
        timeout_seconds: Longest wait for its lock.

    Raises:
        StoreBusyError: If its lock was held for longer; names the holder if it is known.
        StoreError: If it cannot be opened.
    """
    database = open_database(address)
    known = all_migrations()[-1].number
    if not database.exists():
        return StoreState(False, known=known)
    try:
        with database.connection(timeout_seconds) as connection:
            newest, storage = newest_migration(connection), _storage_version(connection)
    except StoreBusyError as error:
        holder = _holder(database.files)
        raise StoreBusyError(f"{error}{f'; held by {holder}' if holder else ''}") from None
    spool = database.files.spool
    waiting = spool.iterdir() if spool.is_dir() else ()
    spooled = sum(path.is_dir() and "." not in path.name for path in waiting)
    return StoreState(True, newest, known, storage, spooled)


def _storage_version(connection: duckdb.DuckDBPyConnection) -> str:
    row = connection.execute(
        "SELECT tags['storage_version'] FROM duckdb_databases() "
        "WHERE database_name = current_database()"
    ).fetchone()
    return str(row[0]) if row and row[0] else ""


def _holder(files: StoreFiles) -> str:
    """Return the process that holds the store's lock, as far as the system tells."""
    try:
        lock, lines = os.stat(files.lock), LOCKS.read_text().splitlines()
    except OSError:
        return ""
    device = f"{os.major(lock.st_dev):02x}:{os.minor(lock.st_dev):02x}"
    for line in lines:
        fields = line.split()  # 1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END
        if len(fields) == 8 and fields[5] == f"{device}:{lock.st_ino}":
            try:
                words = psutil.Process(int(fields[4])).cmdline()
            except (psutil.Error, ValueError):
                continue
            command = " ".join(" ".join(words).split())
            return f"process {fields[4]} ({command[:COMMAND_SHOWN]})"
    return ""
