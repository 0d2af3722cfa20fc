"""What one query of an auditor may use: so much time, so much memory, no disk."""

import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import psutil

QUERY_TIMEOUT_SECONDS = 60.0
MEMORY_SHARE = 0.5
# DuckDB counts tables, hashes and sorts, but not the strings and lists that functions make.
UNCOUNTED_BYTES = 2**30


def memory_bytes() -> int:
    """Memory an audit's connection may take: a share of what the machine has."""
    return int(psutil.virtual_memory().total * MEMORY_SHARE)


@contextmanager
def stop_after(connection: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[threading.Event]:
    """Interrupt what the connection does once the time is over; the event says that it was.

    A function that makes one long string hears of it only when the string is done.
    """
    is_over = threading.Event()

    def stop() -> None:
        is_over.set()
        connection.interrupt()

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield is_over
    finally:
        timer.cancel()


@contextmanager
def limit_process_memory(extra_bytes: int) -> Iterator[None]:
    """Let this process take so much more memory than it has now; then allocations fail.

    For commands that do nothing but ask. Of the systems Solon runs on only Linux keeps to it.
    """
    if sys.platform != "linux":
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = psutil.Process().memory_info().data + extra_bytes
    allowed = [limit for limit in (wanted, soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(allowed), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
