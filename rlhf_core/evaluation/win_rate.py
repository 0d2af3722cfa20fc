"""How often the policy beats the baseline, and how sure that is."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

WIN, TIE, LOSS = 1.0, 0.5, 0.0


@dataclass(frozen=True)
class WinRate:
    """Share of wins, ties counting half, with its interval; None where nothing was scored."""

    prompts: int
    comparisons: int
    unscored: int
    rate: float | None
    low: float | None
    high: float | None


def win_rate(
    margins: Sequence[Sequence[float | None]], confidence: float, resamples: int, seed: int
) -> WinRate:
    """Win rate with a bootstrap interval over prompts.

    Prompts are resampled, not comparisons: answers to the same prompt are not independent.

    Args:
        margins: For each prompt, the judge's margin for the policy in each comparison; None where
            it had no opinion.
        confidence: Of the interval, 0.95 for 95 %.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    scored = [[_result(m) for m in row if m is not None] for row in margins]
    comparisons = sum(len(row) for row in margins)
    unscored = comparisons - sum(len(row) for row in scored)
    means = [sum(row) / len(row) for row in scored if row]
    if not means:
        return WinRate(0, comparisons, unscored, None, None, None)
    low, high = interval(means, confidence, resamples, seed)
    return WinRate(len(means), comparisons, unscored, float(np.mean(means)), low, high)


def interval(
    values: Sequence[float], confidence: float, resamples: int, seed: int
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean; the mean itself, where all values are equal."""
    if len(set(values)) < 2:
        return values[0], values[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (np.asarray(values),),
            np.mean,
            confidence_level=confidence,
            n_resamples=resamples,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return float(found.low), float(found.high)


def _result(margin: float) -> float:
    if margin == 0:
        return TIE
    return WIN if margin > 0 else LOSS
