"""Charts as SVG, from plain numbers."""

import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

BEFORE, AFTER, NEUTRAL = "#8a94a6", "#2f7fd8", "#7d8590"
SERIES = ("#2f7fd8", "#d1690e", "#0f9a78", "#b45fbf", "#8a94a6", "#c0392b")
"""Colours of curves beside each other; they differ in lightness too, on light and dark grounds."""
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name such as "$5 or less, $6 or more" is a text
    "svg.hashsalt": "solon",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.edgecolor": NEUTRAL,
    "axes.labelcolor": NEUTRAL,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": NEUTRAL,
    "ytick.color": NEUTRAL,
    "text.color": NEUTRAL,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.color": NEUTRAL,
}
Curve = Sequence[tuple[int, float]]
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Interval:
    """A named share with its confidence interval."""

    name: str
    value: float
    low: float
    high: float


def line(curve: Curve, label: str, over: str = "step") -> str:
    """Plot a number over the steps of a training, or over cycles.

    Args:
        curve: (step, value), in order.
        label: Label of the values.
        over: Label of the steps.

    Returns:
        An SVG element.
    """

    def draw(axes: Axes) -> None:
        marker = "o" if len(curve) == 1 else None  # a single point has no line
        axes.plot(*zip(*curve, strict=True), color=AFTER, linewidth=1.8, marker=marker)
        axes.set_xlabel(over)
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.02)

    return _svg(draw, width=3.15, height=2.0)


def over_kl(
    points: Sequence[tuple[float, float]],
    label: str,
    fitted: Sequence[tuple[float, float]] = (),
) -> str:
    """Plot a gain over the KL from the reference.

    Args:
        points: KL and gain of each step.
        label: Label of the gain.
        fitted: Points of a fitted curve; none draws none.

    Returns:
        An SVG element.
    """

    def draw(axes: Axes) -> None:
        axes.axhline(0, color=NEUTRAL, linestyle="--", linewidth=1)
        axes.plot(*zip(*points, strict=True), "o", color=AFTER, markersize=4)
        if fitted:
            axes.plot(*zip(*fitted, strict=True), color=AFTER, linewidth=1.4, alpha=0.6)
        axes.set_xlabel("KL, nats an answer")
        axes.set_ylabel(label)

    return _svg(draw, width=3.15, height=2.0)


def curves(named: Mapping[str, Sequence[Points]], x: str, y: str) -> str:
    """Plot curves in one colour a name, with their points.

    Args:
        named: Curves by name; each has points (x, y), drawn in the order of x.
        x: Label of x.
        y: Label of y.

    Returns:
        An SVG element.
    """

    def draw(axes: Axes) -> None:
        for color, (name, members) in zip(itertools.cycle(SERIES), named.items(), strict=False):
            for number, points in enumerate(members):
                label = name if number == 0 else None
                places = zip(*sorted(points), strict=True)
                axes.plot(*places, "o-", color=color, markersize=3, linewidth=1.4, label=label)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.legend(frameon=False)

    return _svg(draw, width=4.4, height=2.9)


def distribution(before: Sequence[float], after: Sequence[float], label: str) -> str:
    """Plot two histograms over the same bins.

    Args:
        before: Scores of the baseline's answers.
        after: Scores of the policy's answers.
        label: Label of the scores.

    Returns:
        An SVG element.
    """

    def draw(axes: Axes) -> None:
        low, high = min([*before, *after]), max([*before, *after])
        width = (high - low or 1.0) / 16
        bins = [low + width * edge for edge in range(17)]
        axes.hist(before, bins=bins, color=BEFORE, alpha=0.55, label="baseline")
        axes.hist(after, bins=bins, color=AFTER, alpha=0.55, label="policy")
        axes.set_xlabel(label)
        axes.set_ylabel("answers")
        axes.legend(frameon=False)

    return _svg(draw, width=4.4, height=2.2)


def win_rates(intervals: Sequence[Interval]) -> str:
    """Plot win rates with their intervals, one row a judge, and the line of chance."""
    return shares(intervals, "share of comparisons the policy wins")


def shares(intervals: Sequence[Interval], label: str) -> str:
    """Plot shares with their intervals, one a row, and the line of chance."""
    return numbers(intervals, label, 0.5, (0.0, 1.0))


def numbers(
    intervals: Sequence[Interval],
    label: str,
    even: float,
    limits: tuple[float, float] | None = None,
) -> str:
    """Plot numbers with their intervals, one a row, and the line of no difference.

    Args:
        intervals: The numbers, from the top.
        label: Label of the numbers.
        even: Number of no difference.
        limits: Ends of the axis; None fits them to the intervals.

    Returns:
        An SVG element.
    """

    def draw(axes: Axes) -> None:
        for row, interval in enumerate(reversed(intervals)):
            axes.plot([interval.low, interval.high], [row, row], color=AFTER, linewidth=2.2)
            axes.plot(interval.value, row, "o", color=AFTER, markersize=6)
        axes.axvline(even, color=NEUTRAL, linestyle="--", linewidth=1)
        axes.set_yticks(range(len(intervals)), [i.name for i in reversed(intervals)])
        if limits is not None:
            axes.set_xlim(*limits)
        axes.set_ylim(-0.6, len(intervals) - 0.4)
        axes.set_xlabel(label)
        axes.grid(visible=False, axis="y")

    return _svg(draw, width=4.4, height=0.75 + 0.36 * len(intervals))


def over_cycles(intervals: Sequence[tuple[int, Interval, bool]], label: str) -> str:
    """Plot a share of each cycle with its interval, and the line of chance.

    Args:
        intervals: Number of the cycle, its share, and True if its policy was promoted, which fills
            the point.
        label: Label of the shares.

    Returns:
        An SVG element.
    """

    def draw(axes: Axes) -> None:
        for cycle, share, is_filled in intervals:
            axes.plot([cycle, cycle], [share.low, share.high], color=AFTER, linewidth=2.2)
            face = AFTER if is_filled else "white"
            axes.plot(cycle, share.value, "o", color=AFTER, markerfacecolor=face, markersize=7)
        axes.axhline(0.5, color=NEUTRAL, linestyle="--", linewidth=1)
        axes.set_ylim(0, 1)
        axes.margins(x=0.08)
        axes.set_xlabel("cycle")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))

    return _svg(draw, width=max(4.4, 1.2 + 0.22 * len(intervals)), height=2.6)


def reliability(curve: Sequence[tuple[float, float, int]], label: str) -> str:
    """Plot the share of right verdicts over the probability: (probability, share, count) a bin."""

    def draw(axes: Axes) -> None:
        probabilities, accuracies, counts = zip(*curve, strict=True)
        axes.plot([0, 1], [0, 1], color=NEUTRAL, linestyle="--", linewidth=1)
        axes.plot(probabilities, accuracies, color=AFTER, linewidth=1.4)
        axes.scatter(
            probabilities,
            accuracies,
            [8 + 90 * count / sum(counts) for count in counts],
            color=AFTER,
        )
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("probability of the judge")
        axes.set_ylabel(label)

    return _svg(draw, width=2.7, height=2.4)


def bars(rows: Sequence[tuple[str, float]], label: str) -> str:
    """Plot signed amounts, one bar a row."""

    def draw(axes: Axes) -> None:
        names, values = zip(*reversed(rows), strict=True)
        axes.barh(range(len(rows)), values, height=0.55, color=AFTER)
        axes.axvline(0, color=NEUTRAL, linewidth=1)
        axes.set_yticks(range(len(rows)), names)
        axes.set_xlim(min(0.0, *values) - 0.05, max(0.1, *values) + 0.05)
        axes.set_xlabel(label)
        axes.grid(visible=False, axis="y")

    return _svg(draw, width=4.3, height=0.75 + 0.36 * len(rows))


def histogram(values: Sequence[float], label: str) -> str:
    """Plot a histogram of scores from 0 to 1."""

    def draw(axes: Axes) -> None:
        axes.hist(values, bins=20, range=(0, 1), color=AFTER)
        axes.set_xlim(0, 1)
        axes.set_xlabel(label)
        axes.set_ylabel("answers")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))

    return _svg(draw, width=2.7, height=1.7)


def _svg(draw: Callable[[Axes], None], width: float, height: float) -> str:
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        draw(axes)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]
