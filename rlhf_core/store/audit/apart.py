"""Run a query in a separate process, which can be ended where the query cannot.

DuckDB checks for interrupts between rows, so one huge string outlasts its time limit. `solon sql`
then ends its own process; a server cannot, and runs its queries here. Each gets a fork of a server
that has everything loaded: a fork starts in milliseconds, and its memory is freed with it.
"""

import multiprocessing
import pickle
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic, TypeVar

from rlhf_core.errors import QueryError, SolonError, StoreError
from rlhf_core.store.limits import (
    QUERY_TIMEOUT_SECONDS,
    UNCOUNTED_BYTES,
    limit_process_memory,
    memory_bytes,
)
from rlhf_core.store.snapshot import Snapshot, reading

START_SECONDS = 120.0
"""Longest time in which the process opens the snapshot, which it may have to make first."""
GRACE_SECONDS = 5.0
"""Time that an interrupted query has to stop before its process is ended."""
MOST_BYTES = 64 * 2**20
"""Largest answer, so that the caller need not hold as much memory as the query may."""

Found = TypeVar("Found")
_context = multiprocessing.get_context("forkserver")


def prepare(*modules: str) -> None:
    """Load modules into the server that processes are forked from, and start it."""
    _context.set_forkserver_preload([__name__, *modules])
    forkserver.ensure_running()


class Apart(Generic[Found]):
    """A query that runs in its own process.

    Args:
        store: Address of the store whose snapshot is read.
        question: A function at the top of a module, or a partial of one, with a small result.
        timeout_seconds: Longest run time from when the snapshot is open.
    """

    def __init__(
        self,
        store: Path | str,
        question: Callable[[Snapshot], Found],
        timeout_seconds: float = QUERY_TIMEOUT_SECONDS,
    ) -> None:
        self.timeout_seconds = timeout_seconds
        self.age_seconds = 0.0
        """Age of the snapshot; 0 until there is an answer."""
        self._receiver, sender = _context.Pipe(duplex=False)
        self._process = _context.Process(target=_ask, args=(sender, store, question), daemon=True)
        self._process.start()
        sender.close()

    def answer(self) -> Found:
        """Wait for the result of the question and return it.

        Raises:
            QueryError: If it takes too long, or its answer is too large, or its process ends.
            StoreError: If the store cannot be opened in time.
            SolonError: As `reading` and the question do.
        """
        try:
            if not self._receiver.poll(START_SECONDS):
                raise StoreError(f"the store was not open within {START_SECONDS:g} s; run again")
            self.age_seconds = self._received()
            if not self._receiver.poll(self.timeout_seconds + GRACE_SECONDS):
                raise QueryError(
                    f"the query took longer than {self.timeout_seconds:g} s and its process was "
                    "ended; select less"
                )
            answer: Found = self._received()
            return answer
        finally:
            self.end()

    def _received(self) -> Any:
        try:
            message = self._receiver.recv()
        except (EOFError, OSError):
            raise QueryError(
                "the query's process ended without an answer; most likely it needed more memory "
                "than there is: filter or aggregate first"
            ) from None
        if isinstance(message, SolonError):
            raise message
        return message

    def end(self) -> None:
        """End the process, whatever it does; a caller that waits for its answer gets an error."""
        if self._process.is_alive():  # else its number may be another's by now
            self._process.kill()


def _ask(sender: Connection, store: Path | str, question: Callable[[Snapshot], Any]) -> None:
    """Run the question in the process and send its result."""
    try:
        with reading(store) as snapshot:
            sender.send(snapshot.age_seconds)
            with limit_process_memory(memory_bytes() + UNCOUNTED_BYTES):
                answer = pickle.dumps(question(snapshot))
                if len(answer) > MOST_BYTES:
                    raise QueryError(
                        f"the answer has {len(answer) / 2**20:,.0f} MiB, more than the "
                        f"{MOST_BYTES / 2**20:.0f} that are shown: select less, or write it to a "
                        "file with `solon sql --out`"
                    )
            sender.send_bytes(answer)
    except SolonError as error:
        sender.send(error)
    except MemoryError:
        sender.send(QueryError("the answer needs more memory than a query may take; select less"))
