"""Progress reports of long work; flows/terminal/progress.py shows them on the screen."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Advance = Callable[[int, str], None]
"""Called with the number of steps done since the last call and a note to show beside them."""
Progress = Callable[[str, int], AbstractContextManager[Advance]]
"""Called with a label and the total number of steps."""


@contextmanager
def no_progress(label: str, total: int) -> Iterator[Advance]:
    """Show nothing."""
    yield lambda count, note: None
