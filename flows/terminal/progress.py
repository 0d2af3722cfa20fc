"""Progress bars on a terminal, one line a minute elsewhere; the console that stages write to."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import copy_context

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from flows.terminal.harmless import SafeConsole

PIPE_WIDTH = 10_000


def new_console(stderr: bool = False) -> Console:
    """Return a console that wraps lines on a terminal only.

    It prints texts as they are: texts of users and models may hold [brackets] and :colons:.
    """
    terminal = SafeConsole(stderr=stderr, markup=False, emoji=False)
    if terminal.is_terminal:
        return terminal
    return SafeConsole(stderr=stderr, markup=False, emoji=False, width=PIPE_WIDTH)


console = new_console(stderr=True)
Advance = Callable[[int, str], None]
"""Advances a bar by a number of units and shows a note beside it."""


SECONDS_BETWEEN_LINES = 60.0
logger = logging.getLogger("flows.progress")
Watch = Callable[[str, int], AbstractContextManager[Advance]]
"""Begins to watch work with a label and a number of units."""
_watchers: list[Watch] = []
Outlook = Callable[[float, float], str]
"""Describes the time left in a whole run, from the seconds that the work shown still takes and the
share of it that is done."""
_outlook: Outlook | None = None
_last_line = 0.0
_works_shown = 0


@contextmanager
def progress(label: str, total: int) -> Iterator[Advance]:
    """Show the progress of `total` units of work: a bar, or a log line a minute without a terminal.

    Work of no units shows nothing; without a terminal, neither does work of less than a minute.

    Args:
        label: Name of the work.
        total: Units of work.

    Yields:
        The function that advances it.
    """
    if total == 0:
        yield lambda count, note: None
        return
    with (_bar if shows_bars() else _lines)(label, total) as advance, ExitStack() as watching:
        watched = [watching.enter_context(watch(label, total)) for watch in _watchers]

        def advance_all(count: int, note: str) -> None:
            for each in (advance, *watched):
                each(count, note)

        yield advance_all


def watch_progress(watch: Watch) -> None:
    """Let somebody else be told of all progress, too."""
    if watch not in _watchers:
        _watchers.append(watch)


def show_outlook(outlook: Outlook | None) -> None:
    """Say beside all progress how long the whole run still takes; None says nothing any more."""
    global _outlook
    _outlook = outlook


@contextmanager
def _bar(label: str, total: int) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description:<14}", markup=False),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TextColumn("{task.fields[run]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task(label, total=total, note="", run="")
        started, done = time.monotonic(), 0

        def advance(count: int, note: str) -> None:
            nonlocal done
            done += count
            run = _run_left(done, total, time.monotonic() - started)
            bars.update(bar, advance=count, note=note, run=run)

        yield advance


@contextmanager
def _lines(label: str, total: int) -> Iterator[Advance]:
    """Write a line a minute from a thread, so that work that hangs is noticed."""
    started, done, last_note, ended = time.monotonic(), 0, "", threading.Event()

    def advance(count: int, note: str) -> None:
        nonlocal done, last_note
        done, last_note = done + count, note

    def write() -> None:
        while not ended.wait(SECONDS_BETWEEN_LINES):
            write_line(_line(label, done, total, time.monotonic() - started, last_note))

    global _works_shown
    _works_shown += 1
    # In a copy of the context: Prefect's log handler looks there for the run that a line is of.
    context = copy_context()
    writer = threading.Thread(target=lambda: context.run(write), name=label, daemon=True)
    writer.start()
    try:
        yield advance
    finally:
        ended.set()
        writer.join()
        _works_shown -= 1


def _line(label: str, done: int, total: int, seconds: float, note: str) -> str:
    """Return the log line of work in progress.

    Args:
        label: Name of the work.
        done: Units done.
        total: Units in all.
        seconds: Time so far.
        note: The work's own note; may be empty.
    """
    left = f", about {duration(_seconds_left(done, total, seconds))} left" if done else ""
    parts = [note.strip(), _run_left(done, total, seconds)]
    said = "".join(f"; {part}" for part in parts if part)
    return f"{label}: {done:,} of {total:,} after {duration(seconds)}{left}{said}"


def _run_left(done: int, total: int, seconds: float) -> str:
    """Return the time left in the whole run in words; nothing without a forecast."""
    if _outlook is None or not done:
        return ""
    said = _outlook(_seconds_left(done, total, seconds), done / total)
    return f"the run: {said}" if said else ""


def _seconds_left(done: int, total: int, seconds: float) -> float:
    return seconds * (total - done) / done


def write_line(line: str) -> None:
    """Log a line; print it if the command keeps no log."""
    global _last_line
    if logger.hasHandlers() and logger.isEnabledFor(logging.INFO):
        _last_line = time.monotonic()  # whichever handler writes it, such as Prefect's
        logger.info("%s", line)
    else:
        print_line(line)


def print_line(line: str) -> None:
    """Print a line as it is above the bars, and remember when."""
    global _last_line
    _last_line = time.monotonic()
    console.print(line, soft_wrap=True, highlight=False, markup=False)


def shows_bars() -> bool:
    """Return True if work is shown as bars: on a terminal, unless lines are for programs."""
    return console.is_terminal and os.environ.get("SOLON_LOG_FORMAT") != "json"


def silent_seconds(since: float) -> float:
    """Return the seconds without a line; 0 while work in progress writes lines of its own.

    Args:
        since: Time by the monotonic clock at which to start counting.
    """
    return 0.0 if _works_shown else time.monotonic() - max(since, _last_line)


def duration(seconds: float) -> str:
    """Return a time in a readable unit, such as 45 s, 3.2 min or 5.1 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
