"""Connections to the database file, with DuckDB's errors translated into the store's.

The caller holds the store's lock.
"""

import errno
import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb

from rlhf_core.errors import StoreBusyError, StoreError
from rlhf_core.files.whole import DISK_FULL
from rlhf_core.store.disk.files import StoreFiles, fsync, rename_damaged

STORAGE_VERSION = "v1.4.0"
"""Readable by every DuckDB shell since 1.4."""
# A typo must never fetch an extension.
INSTANCE_SETTINGS: dict[str, Any] = {
    "storage_compatibility_version": STORAGE_VERSION,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
LOG_START = bytes.fromhex("640062")
"""First bytes of a write-ahead log of DuckDB: its first entry is the version."""
DYING_SECONDS = 0.5
"""Longest time that a killed process keeps DuckDB's lock after ours: files close in any order."""
DAMAGED_LOG = "while replaying WAL file"

_instances: dict[int, duckdb.DuckDBPyConnection] = {}
"""The DuckDB instance of this process, by process id, for its threads do not survive a fork."""
_names = itertools.count()


@contextmanager
def open_connection(files: StoreFiles) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection to the database, including what a killed writer had committed.

    Raises:
        StoreBusyError: If another program holds the file.
        StoreError: If it cannot be opened, or read or written while it is open.
    """
    _refuse_foreign_log(files)
    connection = _instance().cursor()
    name = f"store_{next(_names)}"
    try:
        _attach(connection, files, name)
        yield connection
    except (duckdb.FatalException, duckdb.InternalException) as error:
        _instances.pop(os.getpid(), None)  # DuckDB refuses all further work in this one
        raise _failed(files, error) from None
    except duckdb.OperationalError as error:
        raise _failed(files, error) from None
    finally:
        _detach(connection, name)
        connection.close()


def _instance() -> duckdb.DuckDBPyConnection:
    """Return the instance that store files are attached to.

    Attaching a file takes a fifth of the time of starting a new instance.
    """
    if os.getpid() not in _instances:
        _instances[os.getpid()] = duckdb.connect(config=INSTANCE_SETTINGS)
    return _instances[os.getpid()]


def _attach(connection: duckdb.DuckDBPyConnection, files: StoreFiles, name: str) -> None:
    quoted = str(files.database).replace("'", "''")
    deadline = time.monotonic() + DYING_SECONDS
    while True:
        try:
            connection.execute(f"ATTACH '{quoted}' AS {name}")
            connection.execute(f"USE {name}")
            return
        except duckdb.Error as error:
            if not _is_lock(error):
                raise _not_opened(files, error) from None
            if time.monotonic() > deadline:
                raise StoreBusyError(
                    f"store {files.database} is held open by another program; close it there and "
                    "read through `solon sql`"
                ) from None
        time.sleep(0.01)


def _detach(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Close the file; its log is merged into it if there is room."""
    with suppress(duckdb.Error):  # there may be no transaction
        connection.rollback()
    try:
        connection.execute(f"USE memory; DETACH DATABASE IF EXISTS {name}")
    except duckdb.Error:
        # The file stays open as long as the instance lives, so the instance ends with it.
        _instances.pop(os.getpid(), None)


def first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def copy_rows(connection: duckdb.DuckDBPyConnection, target: Path) -> None:
    """Copy everything but deleted rows into a new database file, at some 20 ms a MB."""
    quoted = str(target).replace("'", "''")
    name = f"copy_{next(_names)}"
    row = connection.execute("SELECT current_database()").fetchone()
    assert row is not None, "there is always a current database"
    connection.execute(f"ATTACH '{quoted}' AS {name} (STORAGE_VERSION '{STORAGE_VERSION}')")
    try:
        connection.execute(f'COPY FROM DATABASE "{row[0]}" TO {name}')
    finally:
        connection.execute(f"DETACH {name}")
    fsync(target)


def _refuse_foreign_log(files: StoreFiles) -> None:
    """Raise an error for a file in the log's place that is no log; DuckDB would overwrite it."""
    try:
        with files.log.open("rb") as stream:
            start = stream.read(len(LOG_START))
    except FileNotFoundError:
        return
    if not LOG_START.startswith(start):
        raise _log_put_aside(files, "it does not begin as a log does")


def _not_opened(files: StoreFiles, error: duckdb.Error) -> StoreError:
    text = str(error)
    if DAMAGED_LOG in text and not _is_disk_full(text):
        return _log_put_aside(files, first_line(error))
    if isinstance(error, duckdb.IOException) and _is_disk_full(text):
        return _failed(files, error)
    return StoreError(f"store {files.database} cannot be opened: {first_line(error)}")


def _log_put_aside(files: StoreFiles, reason: str) -> StoreError:
    aside = rename_damaged(files.log)
    return StoreError(
        f"store {files.database}: its write-ahead log was damaged ({reason}) and lies in {aside} "
        "now, with the newest batches in it; the store opens without them: run again"
    )


def _failed(files: StoreFiles, error: duckdb.Error) -> StoreError:
    if _is_disk_full(str(error)):
        advice = "free space there and run again; what got in is not added twice"
    else:
        advice = "run again; what got in is not added twice"
    return StoreError(f"store {files.database}: {first_line(error)}; {advice}")


def _is_lock(error: duckdb.Error) -> bool:
    return isinstance(error, duckdb.IOException) and "could not set lock" in str(error).lower()


def _is_disk_full(text: str) -> bool:
    return any(os.strerror(number) in text for number in (*DISK_FULL, errno.EIO))
