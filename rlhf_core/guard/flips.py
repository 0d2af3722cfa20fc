"""The test whether a judge's verdicts hang on the form of one side's answers.

Each prompt has one comparison of a policy's answer with a baseline answer. A rewording of either
keeps its meaning, so it should not turn the verdict; where it does, the judge decided by the form.
A noisy judge, or one between two equal answers, is turned by both alike. A judge that the policy
exploits is not: the form that wins is in the answers of one side only.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlhf_core.evaluation.comparison import ROUNDING
from rlhf_core.preferences.votes import margin_of_scores

WITHIN = 1e-9
"""Relative rounding of a statistic."""
EXACT = 13
"""Prompts up to which all sign flips are counted."""
BLOCK = 10_000
BEYOND = 20
"""Sign flips that are drawn beyond the level, on average; fewer would make the test noisy."""
MOST_BLOCKS = 100


def margin_between(
    score: float, opponent: float | None, scale: float, tolerance: float, tie_margin: float
) -> float:
    """Return by how much an answer is preferred to another, from −1 to 1; 0 for a tie.

    Args:
        score: Its score, or the probability that it is better.
        opponent: Score of the other answer; None of a judge that compares.
        scale: Difference of scores at which the odds are e to 1.
        tolerance: Largest difference of scores that is the judge's own noise.
        tie_margin: Largest margin of a tie.
    """
    if opponent is None:
        margin = 2 * score - 1
    elif math.isclose(score, opponent, rel_tol=ROUNDING, abs_tol=tolerance):
        return 0.0
    else:
        margin = margin_of_scores(score, opponent, scale)
    return 0.0 if abs(margin) <= tie_margin else margin


def turned(before: float, after: float) -> float:
    """Return how far a verdict turned: 1 if the winner changed, 0.5 from or to a tie, else 0.

    Args:
        before: Margin of one answer over another; 0 for a tie.
        after: The margin after one of them was reworded.
    """
    return abs(_sign(before) - _sign(after)) / 2


@dataclass(frozen=True)
class Turns:
    """The turns of one judge's verdicts, by prompt, after one rewording of either answer."""

    judge: str
    rewording: str
    policy: Mapping[str, float]
    """Turns by the rewording of the policy's answer, from 0 to 1. Absent prompts count as 0."""
    baseline: Mapping[str, float]


@dataclass(frozen=True)
class FlipTest:
    """A rewording that turns a judge's verdicts on one side's answers, with its p-value."""

    judge: str
    rewording: str
    prompts: int
    policy_rate: float
    baseline_rate: float
    p: float
    """Two-sided, corrected for the number of judges and rewordings."""


def flip_tests(turns: Sequence[Turns], prompt_ids: Sequence[str], level: float) -> list[FlipTest]:
    """Test each judge and rewording, all together.

    If the policy is no other than the baseline, each prompt's two answers could change places, and
    with them the signs of all differences of the prompt (Fisher, 1935). A difference's statistic is
    |Σ d| / √(Σ d²) over prompts; its p-value is the share of sign flips in which the largest
    statistic of all reaches it, which bounds the chance of any false alarm (Westfall and Young,
    1993).

    Args:
        turns: The turns by judge and rewording.
        prompt_ids: All prompts that were compared.
        level: Level at which the p-values are used; it decides how many sign flips are drawn.

    Returns:
        One test each, without those that turned nothing.
    """
    differences = np.array(
        [
            [one.policy.get(id, 0.0) - one.baseline.get(id, 0.0) for id in prompt_ids]
            for one in turns
        ]
    ).reshape(len(turns), len(prompt_ids))
    shown = [place for place, row in enumerate(differences) if row.any()]
    if not shown:
        return []
    p_values = _p_values(differences[shown], level)
    return [
        FlipTest(
            turns[place].judge,
            turns[place].rewording,
            len(prompt_ids),
            sum(turns[place].policy.values()) / len(prompt_ids),
            sum(turns[place].baseline.values()) / len(prompt_ids),
            p,
        )
        for place, p in zip(shown, p_values, strict=True)
    ]


def _p_values(differences: NDArray[np.float64], level: float) -> list[float]:
    """Return the p-value of each row of differences, (K, N) by prompt; no row is all 0."""
    differences = differences[:, differences.any(axis=0)]
    norms = np.sqrt((differences**2).sum(axis=1))
    observed = np.abs(differences.sum(axis=1)) / norms * (1 - WITHIN)
    count = differences.shape[1]
    if count <= EXACT:
        signs = 1 - 2.0 * (np.arange(2**count)[:, None] >> np.arange(count) & 1)
        largest = (np.abs(signs @ differences.T) / norms).max(axis=1)
        return [float((largest >= each).mean()) for each in observed]
    rng, beyond, drawn = np.random.default_rng(0), np.ones(len(observed)), 1
    for _ in range(min(MOST_BLOCKS, math.ceil(BEYOND / level / BLOCK))):
        signs = rng.choice((-1.0, 1.0), size=(BLOCK, count))
        largest = (np.abs(signs @ differences.T) / norms).max(axis=1)
        beyond += (largest[:, None] >= observed).sum(axis=0)
        drawn += BLOCK
    return [float(each) / drawn for each in beyond]


def _sign(margin: float) -> int:
    return (margin > 0) - (margin < 0)
