"""Forecast of the time left in a run: the plan, corrected by what has been seen of it so far."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from flows.terminal.progress import duration, show_outlook

UNSURE, SURER = 0.6, 0.2
"""Uncertainty of the time left, as a share of it: before a run, and near its end."""
PRIOR = 0.15
"""Weight of the plan against the measured times, as a share of the planned time."""


def time_range(seconds: float, slowdown: float = 1.0) -> tuple[float, float]:
    """Return the likely range of the time that planned work takes.

    Args:
        seconds: Planned seconds on an idle machine.
        slowdown: Factor by which other programs slow the machine down now, at least 1.

    Returns:
        The least and the most seconds. Only the most includes the slowdown, since a busy machine
        may be idle soon.
    """
    return seconds * (1 - UNSURE / 2), seconds * (1 + UNSURE) * slowdown


class Forecast:
    """The time left in a run, corrected by the stages that ended and the one that runs.

    Args:
        planned: Seconds of each stage that is still to run, in order, on an idle machine.
        slowdown: Factor by which other programs slow the machine down at the start.
        clock: Returns seconds.
    """

    def __init__(
        self,
        planned: Mapping[str, float],
        slowdown: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._left = dict(planned)
        self._whole = sum(planned.values())
        self._prior = PRIOR * self._whole
        self._slowdown, self._clock = slowdown, clock
        self._planned = self._took = 0.0
        self._running, self._began = "", 0.0

    def begin(self, stage: str) -> None:
        """Note that a stage begins now."""
        self._running, self._began = stage, self._clock()

    def record(self, stage: str, seconds: float) -> str:
        """Record a stage that ended, and describe the time left.

        Args:
            stage: Name of the stage.
            seconds: Seconds that it took.

        Returns:
            A phrase for the log; empty at the end of a run and after stages without a plan.
        """
        self._running = ""
        if stage not in self._left:
            return ""
        self._planned += self._left.pop(stage)
        self._took += seconds
        left = sum(self._left.values()) * self._pace()
        return self._in_words(left, self._planned) if left >= 1 else ""

    def during(self, seconds: float, share: float) -> str:
        """Describe the time left in the run while a stage works.

        A stage that takes longer than planned shows a slower machine before it ends. One that looks
        faster shows nothing yet, since what is in progress may be the first of its parts.

        Args:
            seconds: Seconds that the work in progress still takes at its pace so far.
            share: Share of that work that is done.

        Returns:
            A phrase for the log; empty in stages without a plan.
        """
        if self._running not in self._left:
            return ""
        planned = self._left[self._running]
        expected = planned * self._pace()
        so_far = self._clock() - self._began
        whole = max(so_far + seconds, expected)
        pace = self._pace(share * planned, share * whole) if whole > expected else self._pace()
        others = sum(self._left.values()) - planned
        left = whole - so_far + others * pace
        return self._in_words(left, self._planned + share * planned)

    def _pace(self, planned: float = 0.0, took: float = 0.0) -> float:
        """Return how much longer work takes than planned, by what ended and some more work."""
        seen = self._took + took + self._prior * self._slowdown
        expected = self._planned + planned + self._prior
        return seen / expected if expected else self._slowdown

    def _in_words(self, left: float, planned: float) -> str:
        """Return the likely range of the seconds left, when so much of the plan is done."""
        share = planned / self._whole if self._whole else 1.0
        unsure = UNSURE + (SURER - UNSURE) * share
        least, most = (left * factor for factor in (1 - unsure / 2, 1 + unsure))
        return f"about {duration(least)} to {duration(most)} left"


_current: Forecast | None = None


@contextmanager
def forecasting(planned: Mapping[str, float], slowdown: float) -> Iterator[None]:
    """Forecast the run of this process inside the block.

    Args:
        planned: Planned seconds by stage, on an idle machine.
        slowdown: Factor by which other programs slow this machine down.
    """
    global _current
    _current = Forecast(planned, slowdown)
    show_outlook(_current.during)
    try:
        yield
    finally:
        _current = None
        show_outlook(None)


def stage_begins(stage: str) -> None:
    """Tell the forecast of this process, if there is one, that a stage begins."""
    if _current is not None:
        _current.begin(stage)


def time_left_after(stage: str, seconds: float) -> str:
    """Describe the time left in this process's run after a stage; empty without a forecast."""
    return _current.record(stage, seconds) if _current else ""
