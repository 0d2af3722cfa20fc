"""How long the rest of a run takes: what was planned, corrected by what its stages took so far."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from flows.terminal.progress import duration

UNSURE, SURER = 0.6, 0.2
"""How far off the time that is left may be, as a share of it: before a run and near its end."""
PRIOR = 0.15
"""How much the plan counts beside what was seen, as a share of its whole time."""


def time_range(seconds: float, slowdown: float = 1.0) -> tuple[float, float]:
    """Return between which times work of so many planned seconds is likely to end.

    Args:
        seconds: What it takes on a machine that does nothing else.
        slowdown: How much longer it takes beside what the machine does now, 1 if nothing.

    Returns:
        The least and the most seconds. A machine that is busy may be idle soon: only the most
        takes the slowdown in.
    """
    return seconds * (1 - UNSURE / 2), seconds * (1 + UNSURE) * slowdown


def slowdown_by_others() -> float:
    """Return how much longer work of all cores takes beside the other programs of this machine."""
    cores = os.cpu_count() or 1
    return max(1.0, (os.getloadavg()[0] + cores) / cores - 0.25)


class Forecast:
    """The time that is left of a run, said after each of its stages.

    Args:
        planned: Seconds of each stage that is still to run, in its order.
    """

    def __init__(self, planned: Mapping[str, float]) -> None:
        self._left = dict(planned)
        self._whole = sum(planned.values())
        self._planned = self._took = 0.0

    def ended(self, stage: str, seconds: float) -> str:
        """Return what to tell of the time that is left, empty at the end and of unplanned stages.

        Args:
            stage: Which stage ended.
            seconds: What it took.
        """
        if stage not in self._left:
            return ""
        self._planned += self._left.pop(stage)
        self._took += seconds
        left = sum(self._left.values())
        if left < 1:
            return ""
        prior = PRIOR * self._whole
        seen = (self._took + prior) / (self._planned + prior)
        share = self._planned / self._whole
        unsure = UNSURE + (SURER - UNSURE) * share
        least, most = (left * seen * factor for factor in (1 - unsure / 2, 1 + unsure))
        return f"about {duration(least)} to {duration(most)} left"


_current: Forecast | None = None


@contextmanager
def forecasting(planned: Mapping[str, float]) -> Iterator[None]:
    """Forecast the run of this process by so many planned seconds a stage."""
    global _current
    _current = Forecast(planned)
    try:
        yield
    finally:
        _current = None


def left_after(stage: str, seconds: float) -> str:
    """Return what is left of the run of this process after a stage; empty without a forecast."""
    return _current.ended(stage, seconds) if _current else ""
