"""Two works timed in turn in one run, and their ratio: what noise shifts, it shifts for both."""

import time
from collections.abc import Callable

import torch

from tests.benchmarks.result import Result, compare

REPEATS = 3


def ratio(
    name: str,
    ours: Callable[[], None],
    peer: str,
    theirs: Callable[[], None],
    detail: str = "",
    goal: float | None = None,
    amount: float | None = None,
    unit: str = "seconds",
) -> Result:
    """Seconds of three turns, after one to warm up; or with an `amount`, that a second."""
    ours()
    theirs()
    turns = [(seconds(ours), seconds(theirs)) for _ in range(REPEATS)]
    if amount is None:
        return compare(name, turns, unit, peer, goal, detail=detail)
    rates = [(amount / own, amount / other) for own, other in turns]
    return compare(name, rates, unit, peer, goal, detail=detail, higher_is_better=True)


def seconds(work: Callable[[], object]) -> float:
    """That the work takes, to the end of what it left to a GPU."""
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started
