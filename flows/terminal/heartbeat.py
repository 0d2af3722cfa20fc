"""A line a minute while work says nothing by itself, for logs without a terminal.

Work in units has lines of its own (progress.py). The rest, such as loading a model, scoring with
it, or publishing a snapshot, can take minutes too. The line names the function that the work is in.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from types import FrameType

from flows.terminal import progress

PACKAGES = ("flows.", "judges.", "rlhf_core.")
_works: list[object] = []
"""Works under way, the innermost last, which is the one that writes."""


@contextmanager
def heartbeat(work: str) -> Iterator[None]:
    """Write a line whenever this thread's work has been silent for a minute, without a terminal.

    Args:
        work: Name of the work, such as "train_reward".
    """
    if progress.shows_bars():
        yield
        return
    started, ended, mark = time.monotonic(), threading.Event(), object()
    thread = threading.get_ident()

    def write() -> None:
        while not ended.wait(_seconds_until_due(started)):
            if _works[-1] is mark and _seconds_until_due(started) <= 0:
                progress.write_line(_line(work, started, _function_of(thread)))

    # In a copy of the context: Prefect's log handler looks there for the run that a line is of.
    context = copy_context()
    writer = threading.Thread(target=lambda: context.run(write), name="heartbeat", daemon=True)
    _works.append(mark)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()
        _works.remove(mark)


def _seconds_until_due(started: float) -> float:
    return progress.SECONDS_BETWEEN_LINES - progress.silent_seconds(started)


def _line(work: str, started: float, function: str) -> str:
    now = f", in {function}" if function else ""
    return f"still in {work} after {progress.duration(time.monotonic() - started)}{now}"


def _function_of(thread: int) -> str:
    """Return the innermost of Solon's functions that a thread is in; empty if there is none."""
    frame: FrameType | None = sys._current_frames().get(thread)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(PACKAGES):
            return f"{module}.{frame.f_code.co_qualname}"
        frame = frame.f_back
    return ""
