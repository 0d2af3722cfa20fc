"""How long work reports how far it is; flows/terminal/progress.py shows it to people."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Advance = Callable[[int, str], None]
"""Takes how many steps were done since the last call, and a note to show beside them."""
Progress = Callable[[str, int], AbstractContextManager[Advance]]
"""Takes a label and the number of steps in all."""


@contextmanager
def unseen(label: str, total: int) -> Iterator[Advance]:
    """Show nothing."""
    yield lambda count, note: None
