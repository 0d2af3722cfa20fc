"""What a benchmark says: ours, a peer's, and the ratio of the two in one run."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


class NotHereError(Exception):
    """This machine lacks what a benchmark needs; the message says what."""


@dataclass(frozen=True)
class Result:
    """Medians over the turns. A ratio above 1 says that ours is the better one."""

    name: str
    detail: str
    """What exactly was measured, where a benchmark measures several."""
    ours: float
    peer: float | None
    """None, as the ratios, where there is nothing to compare with."""
    ratio: float | None
    low: float | None
    high: float | None
    """The least and the largest ratio of a turn."""
    goal: float | None
    unit: str
    peer_version: str
    command: str
    ours_peak_gb: float | None = None
    peer_peak_gb: float | None = None

    @classmethod
    def alone(cls, name: str, detail: str, value: float, unit: str, made_by: str = "") -> "Result":
        """Return a figure that has no peer.

        Args:
            name: Of the benchmark, as on the command line.
            detail: What exactly was measured.
            value: The figure.
            unit: Its unit.
            made_by: Version of what made it.
        """
        command = f"python -m tests.benchmarks {name}"
        nothing = dict.fromkeys(("peer", "ratio", "low", "high", "goal"))
        return cls(name, detail, value, **nothing, unit=unit, peer_version=made_by, command=command)

    def as_dict(self) -> dict[str, object]:
        return {name: value for name, value in asdict(self).items() if value not in (None, "")}


def compare(
    name: str,
    turns: Sequence[tuple[float, float]],
    unit: str,
    peer_version: str,
    goal: float | None = None,
    peaks_gb: tuple[float | None, float | None] | None = None,
    detail: str = "",
    higher_is_better: bool = False,
) -> Result:
    """A result of turns, each ours and the peer's.

    Args:
        name: Of the benchmark, as on the command line.
        turns: One or more.
        unit: Of both figures.
        peer_version: Who the peer is.
        goal: The ratio wanted.
        peaks_gb: Memory at the peak, ours and the peer's.
        detail: What exactly was measured.
        higher_is_better: As of accuracies and rates; else as of seconds.
    """
    ours, peer = (statistics.median(side) for side in zip(*turns, strict=True))
    ratios = [a / b if higher_is_better else b / a for a, b in turns]
    return Result(
        name=name,
        detail=detail,
        ours=ours,
        peer=peer,
        ratio=ours / peer if higher_is_better else peer / ours,
        low=min(ratios),
        high=max(ratios),
        goal=goal,
        unit=unit,
        peer_version=peer_version,
        command=f"python -m tests.benchmarks {name}",
        ours_peak_gb=peaks_gb[0] if peaks_gb else None,
        peer_peak_gb=peaks_gb[1] if peaks_gb else None,
    )


def alone(
    name: str, figures: Sequence[float], unit: str, detail: str, peak_gb: float | None
) -> Result:
    """A result of turns that have no peer, as in `compare`."""
    return Result(
        name=name,
        detail=detail,
        ours=statistics.median(figures),
        peer=None,
        ratio=None,
        low=None,
        high=None,
        goal=None,
        unit=unit,
        peer_version="",
        command=f"python -m tests.benchmarks {name}",
        ours_peak_gb=peak_gb,
    )
