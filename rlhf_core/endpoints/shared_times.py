"""Times that the processes of a machine share, so that they keep one rate limit together.

A small file in the cache folder holds a few times of the monotonic clock, which is the same in all
processes until the machine restarts; the file's name therefore contains the start of the machine.
A lock of the system guards each change, so a killed process blocks nobody.

pyrate-limiter was the alternative. Its buckets that processes share keep a row for each unit, so a
request of a thousand tokens writes a thousand rows, and units cannot be given back when a server
counts fewer tokens than expected.
"""

import fcntl
import logging
import math
import os
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import psutil

from rlhf_core.identity import digest

logger = logging.getLogger(__name__)

DOUBLE = struct.Struct("<d")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Times(Protocol):
    """A few monotonic times, in seconds, by number."""

    def read(self, number: int) -> float:
        """Return a time; minus infinity if it was never set."""

    def change(self, number: int, change: Callable[[float], float]) -> float:
        """Set a time to what `change` makes of it, and return it as it was before."""


class OwnTimes:
    """Times of this process alone.

    Args:
        count: How many.
    """

    def __init__(self, count: int) -> None:
        self._times = [-math.inf] * count
        self._lock = threading.Lock()

    def read(self, number: int) -> float:
        return self._times[number]

    def change(self, number: int, change: Callable[[float], float]) -> float:
        with self._lock:
            before = self._times[number]
            self._times[number] = change(before)
        return before


class SharedTimes:
    """Times in a file, which is made at the first change.

    Args:
        path: The file.
        count: How many times it holds.
    """

    def __init__(self, path: Path, count: int) -> None:
        self._path = path
        self._own = OwnTimes(count)
        self._lock = threading.Lock()
        self._file: tuple[int, int] | None = None
        """Process id and descriptor: after a fork, parent and child must not share a lock."""
        self._is_own = False
        """True once the file could not be used."""

    def read(self, number: int) -> float:
        with self._lock:
            descriptor = self._open(os.O_RDWR)
            shared = _get(descriptor, number) if descriptor is not None else -math.inf
        return max(shared, self._own.read(number))

    def change(self, number: int, change: Callable[[float], float]) -> float:
        with self._lock:
            descriptor = self._open(os.O_RDWR | os.O_CREAT)
            if descriptor is None:
                return self._own.change(number, change)
            try:
                return _change(descriptor, number, change)
            except OSError as error:  # the disk is full, or there are no locks
                self._keep_own(error)
                return self._own.change(number, change)

    def _open(self, how: int) -> int | None:
        """Return the open file; None if there is none, or there can be none."""
        if self._is_own:
            return None
        if self._file is not None:
            process, descriptor = self._file
            if process == os.getpid() and _is_at(descriptor, self._path):
                return descriptor
            self._close()
        try:
            if how & os.O_CREAT:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, how | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._keep_own(error)
            return None
        self._file = os.getpid(), descriptor
        return descriptor

    def _keep_own(self, error: OSError) -> None:
        """Share no times from now on, and say so once."""
        self._is_own = True
        logger.warning(
            "this process keeps its rate limits for itself: %s: %s", self._path, error.strerror
        )

    def _close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file[1])
            self._file = None

    def __del__(self) -> None:
        self._close()


def times_of(server: Sequence[str], count: int) -> SharedTimes:
    """Return the times that all processes of this user share for one server.

    Args:
        server: What identifies it: address, model, key. A hash of it names the file.
        count: How many times.
    """
    name = digest("\n".join((_boot(), *server)).encode())
    return SharedTimes(cache_folder() / name, count)


def cache_folder() -> Path:
    """Return the folder of the files with shared times."""
    return Path(os.environ.get("SOLON_CACHE") or Path.home() / ".cache" / "solon") / "pace"


def _boot() -> str:
    """Return what identifies the start of this machine."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return f"{psutil.boot_time():.0f}"


def _change(descriptor: int, number: int, change: Callable[[float], float]) -> float:
    """Change a time in an open file, and return it as it was before."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        before = _get(descriptor, number)
        os.pwrite(descriptor, DOUBLE.pack(change(before)), DOUBLE.size * number)
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    return before


def _get(descriptor: int, number: int) -> float:
    raw = os.pread(descriptor, DOUBLE.size, DOUBLE.size * number)
    if len(raw) < DOUBLE.size or raw == bytes(DOUBLE.size):  # beyond the end, or a hole
        return -math.inf
    time: float = DOUBLE.unpack(raw)[0]
    return time if math.isfinite(time) else -math.inf


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
