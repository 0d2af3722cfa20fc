"""The lock under which files of the artifacts are removed or copied to a backup."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from rlhf_core.errors import DataFileError, StoreBusyError

NAME = ".keeping.lock"


@contextmanager
def keeping(artifacts: Path) -> Iterator[None]:
    """Hold the lock of a folder of artifacts. Runs do not take it, and are not kept waiting.

    Raises:
        StoreBusyError: If `solon gc` or `solon backup` runs in another process.
        DataFileError: If the folder cannot be written.
    """
    lock = filelock.FileLock(artifacts / NAME)
    try:
        artifacts.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise StoreBusyError(
            f"another `solon gc` or `solon backup` works on {artifacts}; wait for it to end"
        ) from None
    except OSError as error:
        raise DataFileError(
            f"{artifacts} cannot be written: {error.strerror}; make it writable for this user"
        ) from None
    try:
        yield
    finally:
        lock.release()
