"""Win rate of the policy over the baseline, with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlhf_core.evaluation.intervals import mean_interval

WIN, TIE, LOSS = 1.0, 0.5, 0.0


@dataclass(frozen=True)
class WinRate:
    """Share of wins, ties counting half, with its interval; None if nothing was scored."""

    prompts: int
    comparisons: int
    unscored: int
    rate: float | None
    low: float | None
    high: float | None


def win_rate(margins: Sequence[Sequence[float | None]], confidence: float) -> WinRate:
    """Return the win rate over prompts with its interval.

    Prompts are independent of each other; answers to the same prompt are not.

    Args:
        margins: For each prompt, the judge's margin for the policy in each comparison, 0 for a tie;
            None without an opinion.
        confidence: Confidence of the interval, 0.95 for 95 %.
    """
    prompts = scored_prompts(margins)
    comparisons = sum(len(row) for row in margins)
    unscored = comparisons - sum(len(row) for row in prompts)
    if not prompts:
        return WinRate(0, comparisons, unscored, None, None, None)
    rate = float(np.mean([np.mean(row) for row in prompts]))
    return WinRate(len(prompts), comparisons, unscored, rate, *mean_interval(prompts, confidence))


def scored_prompts(margins: Sequence[Sequence[float | None]]) -> list[list[float]]:
    """Return the results of each prompt with an opinion: 1 for a win, 0.5 for a tie, 0 for a loss.

    Unscored comparisons are left out, and so are prompts without any other.
    """
    scored = [[_result(m) for m in row if m is not None] for row in margins]
    return [row for row in scored if row]


def _result(margin: float) -> float:
    if margin == 0:
        return TIE
    return WIN if margin > 0 else LOSS
