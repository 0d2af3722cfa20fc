"""Two works timed in turn in one run, and their ratio: what noise shifts, it shifts for both."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

REPEATS = 5


@dataclass(frozen=True)
class Ratio:
    """Times in seconds; ratios above 1 say that ours is faster."""

    what: str
    ours: float
    peer: str
    theirs: float
    low: float
    high: float

    @property
    def ratio(self) -> float:
        return self.theirs / self.ours

    def as_dict(self) -> dict[str, object]:
        return {
            "name": self.what,
            "ours": self.ours,
            "peer": self.theirs,
            "ratio": self.ratio,
            "low": self.low,
            "high": self.high,
            "unit": "seconds",
            "peer_version": self.peer,
        }


def ratio(what: str, ours: Callable[[], None], peer: str, theirs: Callable[[], None]) -> Ratio:
    """Medians of five turns, after one to warm up; low and high over the turns."""
    ours()
    theirs()
    pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(REPEATS)]
    ratios = [other / own for own, other in pairs]
    medians = [statistics.median(side) for side in zip(*pairs, strict=True)]
    return Ratio(what, medians[0], peer, medians[1], min(ratios), max(ratios))


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started
