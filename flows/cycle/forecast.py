"""Forecast of the time left in a run: the plan, corrected by the stages that have ended."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from flows.terminal.progress import duration

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


def slowdown_by_others() -> float:
    """Return the factor by which other programs slow down work that uses all cores, at least 1."""
    cores = os.cpu_count() or 1
    return max(1.0, (os.getloadavg()[0] + cores) / cores - 0.25)


class Forecast:
    """The time left in a run, updated after each stage.

    Args:
        planned: Planned seconds of each stage that is still to run, in order.
    """

    def __init__(self, planned: Mapping[str, float]) -> None:
        self._left = dict(planned)
        self._whole = sum(planned.values())
        self._planned = self._took = 0.0

    def record(self, stage: str, seconds: float) -> str:
        """Record a stage that ended, and describe the time left.

        Args:
            stage: Name of the stage.
            seconds: Seconds that it took.

        Returns:
            A phrase for the log; empty at the end of a run and after stages without a plan.
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
    """Forecast the run of this process inside the block, from planned seconds by stage."""
    global _current
    _current = Forecast(planned)
    try:
        yield
    finally:
        _current = None


def time_left_after(stage: str, seconds: float) -> str:
    """Describe the time left in this process's run after a stage; empty without a forecast."""
    return _current.record(stage, seconds) if _current else ""
