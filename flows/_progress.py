"""Progress bars on the terminal, plain lines elsewhere; the one console that stages write to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

PIPE_WIDTH = 10_000


def new_console(stderr: bool = False) -> Console:
    """A console that breaks no line where there is no terminal to fit it to.

    It takes texts as they are: what a user or a model wrote may hold [brackets] and :colons:.
    """
    found = Console(stderr=stderr, markup=False, emoji=False)
    if found.is_terminal:
        return found
    return Console(stderr=stderr, markup=False, emoji=False, width=PIPE_WIDTH)


console = new_console(stderr=True)
Advance = Callable[[int, str], None]
"""Moves a bar on by so many, and shows a note beside it."""


@contextmanager
def progress(label: str, total: int) -> Iterator[Advance]:
    """A bar for `total` units of work; nothing at all for none."""
    if total == 0:
        yield lambda count, note: None
        return
    columns = (
        TextColumn("{task.description:<14}", markup=False),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        bar = bars.add_task(label, total=total, note="")
        yield lambda count, note: bars.update(bar, advance=count, note=note)
