"""Claims in files: one process at a time does a piece of work on a store, such as a line's stage.

A claim is a file beside the store whose holder has locked it. The system frees the lock when the
process ends, however it ends, so a claim never outlives its holder.
"""

import fcntl
import json
import os
import socket
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from rlhf_core.identity import digest
from rlhf_core.store.disk.files import unwritable

LONGEST_NOTE = 4096


@dataclass(frozen=True)
class Holder:
    """A process that holds a claim, on any machine."""

    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    since: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """Time at which it took the claim, UTC."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


UNKNOWN = Holder("an unknown host", 0, "a moment ago")
"""A process that has just locked the file and not yet written its name."""


class Claim(Protocol):
    """The right to do a piece of work, which one process has at a time."""

    poll_seconds: float
    """Seconds between two attempts to take it."""

    def take(self) -> Holder | None:
        """Take the claim and return None; if another process holds it, return that one.

        Raises:
            StoreError: If the claim cannot be written.
        """

    def release(self) -> None:
        """Give the claim back."""


class FileClaim:
    """A claim on this machine.

    Args:
        folder: Folder of the claims of a store.
        work: Name of the work.
    """

    poll_seconds = 0.2

    def __init__(self, folder: Path, work: str) -> None:
        self._path = folder / digest(work.encode())
        self._work = work
        self._descriptor: int | None = None

    def take(self) -> Holder | None:
        try:
            return self._take()
        except OSError as error:
            raise unwritable(self._path.parent, error) from None

    def _take(self) -> Holder | None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _read(descriptor)
                os.close(descriptor)
                return holder
            if _is_file(descriptor, self._path):
                break
            os.close(descriptor)  # its last holder has removed it meanwhile
        note = json.dumps(asdict(Holder()) | {"work": self._work}).encode()
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, note[:LONGEST_NOTE], 0)
        except OSError:
            os.close(descriptor)  # else this process would wait for itself at the next attempt
            raise
        self._descriptor = descriptor
        return None

    def release(self) -> None:
        if self._descriptor is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None


def _is_file(descriptor: int, path: Path) -> bool:
    """Return True if an open file still has this path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _read(descriptor: int) -> Holder:
    try:
        note = json.loads(os.pread(descriptor, LONGEST_NOTE, 0))
        return Holder(str(note["host"]), int(note["pid"]), str(note["since"]))
    except (ValueError, KeyError, TypeError):
        return UNKNOWN
