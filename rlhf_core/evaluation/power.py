"""The power of a decision on win rates, known before the run from the number of prompts alone.

The figures are those of prompts that are won or lost outright, so binomial. Ties, and several
answers a prompt, narrow the bound: then less shows it.
"""

import math

from scipy.optimize import brentq
from scipy.stats import binom

POWER = 0.8
"""Customary power of a test (Cohen, Statistical Power Analysis, 1988)."""


def least_win_rate(prompts: int, above: float, error_rate: float) -> float | None:
    """Return the least share of won prompts whose lower bound lies above a value.

    Args:
        prompts: Number of prompts.
        above: Value that the bound must exceed, from 0 to 1.
        error_rate: Chance of the bound to lie above the truth.

    Returns:
        The share; None if not even winning all prompts suffices.
    """
    wins = _least_wins(prompts, above, error_rate)
    return wins / prompts if wins <= prompts and prompts else None


def detectable_win_rate(
    prompts: int, above: float, error_rate: float, power: float = POWER
) -> float | None:
    """Return the true win rate of a policy that a decision promotes with a chance of `power`.

    Args:
        prompts: Number of prompts.
        above: Value that the bound must exceed, from 0 to 1.
        error_rate: Chance of the bound to lie above the truth.
        power: Chance of the promotion.

    Returns:
        The win rate; None if not even winning all prompts suffices.
    """
    wins = _least_wins(prompts, above, error_rate)
    if wins > prompts or not prompts:
        return None
    return float(brentq(lambda rate: binom.sf(wins - 1, prompts, rate) - power, 0.0, 1.0))


def least_prompts(above: float, error_rate: float) -> int | None:
    """Return the fewest prompts that can show anything: winning all shows more than `above`.

    Winning n of n has a bound of error_rate^(1/n).

    Args:
        above: Value that the bound must exceed, from 0 to 1.
        error_rate: Chance of the bound to lie above the truth.

    Returns:
        The number of prompts; None if no number suffices.
    """
    if above >= 1:
        return None
    if above <= 0:
        return 1
    return math.floor(math.log(error_rate) / math.log(above)) + 1


def _least_wins(prompts: int, above: float, error_rate: float) -> int:
    """Return the least number of wins that has at most that chance if `above` is the truth."""
    if above <= 0:
        return 1
    return int(binom.isf(error_rate, prompts, above)) + 1
