"""The lock under which files of the artifacts are removed or copied to a backup."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from rlhf_core.errors import StoreBusyError

NAME = ".keeping.lock"


@contextmanager
def keeping(artifacts: Path) -> Iterator[None]:
    """Hold the lock of a folder of artifacts. Runs do not take it, and are not kept waiting.

    Raises:
        StoreBusyError: If `solon gc` or `solon backup` runs in another process.
    """
    artifacts.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(artifacts / NAME)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise StoreBusyError(
            f"another `solon gc` or `solon backup` works on {artifacts}; wait for it to end"
        ) from None
    try:
        yield
    finally:
        lock.release()
