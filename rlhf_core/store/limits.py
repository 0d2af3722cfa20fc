"""Limits of an auditor's query: its time and its memory; it may use no disk."""

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
    """Return the memory that an audit's connection may take, a share of the machine's."""
    return int(psutil.virtual_memory().total * MEMORY_SHARE)


@contextmanager
def stop_after(connection: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[threading.Event]:
    """Interrupt the connection after some seconds; the event is set once that has happened.

    A function that builds one long string stops only when the string is complete.
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
    """Limit this process to `extra_bytes` more memory than it has now; then allocations fail.

    Meant for commands that only query. Among the systems Solon runs on, only Linux enforces it.
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
