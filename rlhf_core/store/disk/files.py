"""The store's files on disk, and the one lock in front of them. No SQL here.

DuckDB lets one process hold the file, so every connection is short and waits for a sidecar lock:
six writers queue there five times faster than by retrying on DuckDB's own error.
"""

import glob
import logging
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import filelock
import psutil

from rlhf_core.errors import StoreBusyError, StoreError
from rlhf_core.files.whole import DISK_FULL

logger = logging.getLogger(__name__)

NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "afs")
LEFTOVER_SECONDS = 600.0
"""Age at which a temporary file without a lock counts as abandoned."""
# A clone where the file system has them (APFS; Btrfs, XFS), else a copy.
COPY_COMMAND = ("cp", "-c", "--") if sys.platform == "darwin" else ("cp", "--reflink=auto", "--")


@dataclass(frozen=True)
class StoreFiles:
    """The paths of everything that belongs to one store."""

    database: Path

    @classmethod
    def at(cls, path: Path | str) -> "StoreFiles":
        """Return the files of the store at `path`, resolved: a symlink would open it twice."""
        return cls(Path(path).expanduser().resolve())

    @property
    def lock(self) -> Path:
        return self.database.with_name(self.database.name + ".lock")

    @property
    def queue(self) -> Path:
        return self.database.with_name(self.database.name + ".queue.lock")

    @property
    def log(self) -> Path:
        """DuckDB's write-ahead log; exists only while a connection is open, or after a kill."""
        return self.database.with_name(self.database.name + ".wal")

    @property
    def spool(self) -> Path:
        return self.database.with_name(self.database.name + ".spool")

    @property
    def claims(self) -> Path:
        """Folder of the claims on pieces of work."""
        return self.database.with_name(self.database.name + ".claims")

    @property
    def user_key(self) -> Path:
        return self.database.with_name(self.database.name + ".user-key")

    @property
    def snapshot(self) -> Path:
        return self.database.with_name(self.database.stem + ".snapshot.duckdb")

    @property
    def snapshot_mark(self) -> Path:
        """A file with the store's mark at the time when the snapshot was copied."""
        return self.snapshot.with_name(self.snapshot.name + ".mark")

    def new_copy(self) -> Path:
        """Return a new name for a database file that the lock's holder is writing."""
        return self.database.with_name(f"{self.database.stem}.{uuid.uuid4().hex}.copy")

    def new_link(self) -> Path:
        """Return a new name under which one reader opens the snapshot."""
        return self.database.with_name(f"{self.database.stem}.{uuid.uuid4().hex}.link")


@contextmanager
def lock_store(files: StoreFiles, timeout_seconds: float) -> Iterator[None]:
    """Hold the store's lock.

    The last holder does not overtake a process that waits already: one process at a time waits for
    the lock, and the others wait in a queue before it.

    Raises:
        StoreBusyError: If other processes held it for longer than the timeout.
        StoreError: If the folder cannot be written.
    """
    deadline = time.monotonic() + timeout_seconds
    lock = filelock.FileLock(files.lock, poll_interval=0.005)
    try:
        with filelock.FileLock(files.queue, timeout=timeout_seconds, poll_interval=0.005):
            lock.acquire(timeout=max(0.0, deadline - time.monotonic()))
    except filelock.Timeout:
        raise StoreBusyError(
            f"store {files.database} was locked for {timeout_seconds:.0f} s by another process; "
            "wait for it to end, or read through `solon sql`, which never holds the store"
        ) from None
    except OSError as error:
        raise unwritable(files.database.parent, error) from None
    try:
        _sweep(files)
        yield
    finally:
        lock.release()


def prepare_folder(files: StoreFiles) -> None:
    """Create the store's folder, and warn if file locks cannot be trusted there."""
    try:
        files.database.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"store folder {files.database.parent}: {error.strerror}") from None
    kind = _file_system(files.database.parent)
    if kind.startswith(NETWORK_FILE_SYSTEMS):
        logger.warning("store %s lies on %s, where file locks can fail", files.database, kind)


def copy_file(source: Path, target: Path) -> None:
    """Copy a database file while this process is connected to it, and sync the copy to disk.

    A separate process copies: if this one opened and closed the file, the system would drop
    DuckDB's lock on it.

    Raises:
        StoreError: If there is no room.
    """
    command = [*COPY_COMMAND, str(source), str(target)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        reason = ended.stderr.strip() or f"cp ended with {ended.returncode}"
        raise StoreError(
            f"store {source} could not be copied to {target.parent}: {reason}; "
            "free space there and run again"
        )
    fsync(target)


def fsync(path: Path) -> None:
    """Sync a file, or a folder's list of files, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename_damaged(path: Path) -> Path:
    """Rename a file or folder that cannot be read, and return its new path beside the old one."""
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.damaged")
    path.rename(aside)
    return aside


def unwritable(folder: Path, error: OSError) -> StoreError:
    """Return the error of a store whose folder cannot be written."""
    advice = "free space there" if error.errno in DISK_FULL else "make it writable for this user"
    return StoreError(f"store folder {folder}: {error.strerror}; {advice} and run again")


def _sweep(files: StoreFiles) -> None:
    """Remove what killed processes left; only the lock's holder makes copies, so none is in use."""
    stem = glob.escape(files.database.stem)
    oldest = time.time() - LEFTOVER_SECONDS
    for path in files.database.parent.glob(f"{stem}.{'[0-9a-f]' * 32}.*"):
        with suppress(FileNotFoundError):
            if path.suffix != ".link" or path.stat().st_ctime < oldest:
                path.unlink()


def _file_system(folder: Path) -> str:
    mounts = [part for part in psutil.disk_partitions(all=True) if part.mountpoint]
    holding = [part for part in mounts if folder.is_relative_to(part.mountpoint)]
    return max(holding, key=lambda part: len(part.mountpoint)).fstype if holding else ""
