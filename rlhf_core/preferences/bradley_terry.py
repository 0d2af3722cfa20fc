"""Bradley–Terry strengths from soft and weighted comparisons, for many groups at once.

The probability that one candidate is better than another is σ of the difference of their strengths
(Bradley and Terry 1952). A weak Gaussian prior keeps the strength of a candidate that always wins
finite; it makes the fit unique and the strengths of each connected part of a group sum to 0.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Matrix = NDArray[np.float64]

PRIOR_PRECISION = 0.01
"""1 / variance of the prior on a strength; a comparison by the whole panel has weight 1."""
SMALLEST_STEP = 1e-7
"""Newton's method converges quadratically: after a step this small the error is far below it."""
DECIMALS = 9
"""Decimals of a strength: rounding errors must not order equal candidates."""


class Comparison(NamedTuple):
    """The judges' combined preference between two candidates, the left one first."""

    margin: float
    """2 P − 1, where P is the weighted mean of their probabilities that the left is better."""
    weight: float
    """Weight of the judges that compared the two, as a share of all that decide, 0 to 1."""


Comparisons = dict[tuple[str, str], Comparison]
"""Comparisons by the ids of left and right; every two candidates occur at most once."""
Answers = Mapping[str, Hashable]
"""Content of each answer by candidate id, in sampling order: its text and whether it ended, or a
hash of both."""


class Strength(NamedTuple):
    """Strength of a candidate among those it is compared with, directly or through others."""

    value: float
    """Strength in the Bradley–Terry model, in log-odds; mean 0 in each part."""
    part: int
    """Number of the connected part, from 1. Candidates of different parts were never compared, not
    even through others."""


def strengths_of(groups: Sequence[tuple[Answers, Comparisons]]) -> list[dict[str, Strength]]:
    """Fit the strengths of each group's candidates, except those in no comparison.

    Candidates with the same text are one in the fit.

    Args:
        groups: For each group, the candidates that are ranked together and their comparisons.
    """
    texts = [
        list(dict.fromkeys(answers[id] for two in comparisons for id in two))
        for answers, comparisons in groups
    ]
    wins = [
        _wins(own, answers, comparisons)
        for own, (answers, comparisons) in zip(texts, groups, strict=True)
    ]
    result = []
    for own, strengths, won, (answers, _) in zip(
        texts, fit_strengths(wins), wins, groups, strict=True
    ):
        parts = connected_parts(won)
        standing = {
            text: Strength(round(float(strength), DECIMALS), part)
            for text, strength, part in zip(own, strengths, parts, strict=True)
        }
        result.append({id: standing[text] for id, text in answers.items() if text in standing})
    return result


def _wins(texts: Sequence[Hashable], answers: Answers, comparisons: Comparisons) -> Matrix:
    """Return the weighted wins for `fit_strengths`, one row and one column a text, (K, K)."""
    place = {text: number for number, text in enumerate(texts)}
    wins = np.zeros((len(texts), len(texts)))
    for (left, right), (margin, weight) in comparisons.items():
        one, other = place[answers[left]], place[answers[right]]
        if one != other:
            wins[one, other] += weight * (1 + margin) / 2
            wins[other, one] += weight * (1 - margin) / 2
    return wins


def connected_parts(wins: Matrix) -> list[int]:
    """Return the connected part of each text, numbered from 1 in their order."""
    is_linked = wins + wins.T > 0
    if is_linked.sum() == len(wins) * (len(wins) - 1):
        return [1] * len(wins)
    parts = [0] * len(wins)
    for start in range(len(wins)):
        if parts[start] == 0:
            number, reached = max(parts) + 1, [start]
            parts[start] = number
            for place in reached:
                for other in np.flatnonzero(is_linked[place]).tolist():
                    if parts[other] == 0:
                        parts[other] = number
                        reached.append(other)
    return parts


def fit_strengths(wins: Sequence[Matrix]) -> list[Matrix]:
    """Return the strengths of the candidates of each group, in log-odds, mean 0, each (K,).

    They maximise Σ w_ij · log σ(θ_i − θ_j) − λ/2 · Σ θ_i², where λ is `PRIOR_PRECISION`. A group's
    strengths do not depend on the groups beside it.

    Args:
        wins: For each group, cell (i, j) holds the weight of the comparisons of i and j times the
            probability that i is better, (K, K); 0 in both cells of a pair that was not compared.
    """
    by_size: defaultdict[int, list[int]] = defaultdict(list)
    for number, own in enumerate(wins):
        by_size[len(own)].append(number)
    strengths: list[Matrix] = [np.zeros(0)] * len(wins)
    for size, numbers in by_size.items():
        if size == 0:
            continue
        fitted = _fit(np.stack([wins[number] for number in numbers]))
        for number, own in zip(numbers, fitted, strict=True):
            strengths[number] = own
    return strengths


def _fit(wins: Matrix) -> Matrix:
    """Fit the strengths of groups of one size, (G, K), by damped Newton steps.

    A step is shortened to log(1 + d) / d of itself, where d is the range of the step. This length
    converges from any start (proof in arXiv:1703.04599, section 4) and tends to the whole step.

    Args:
        wins: Weighted wins as in `fit_strengths`, (G, K, K).
    """
    strengths = np.zeros(wins.shape[:2])
    weights = wins + wins.transpose(0, 2, 1)
    places = np.arange(wins.shape[1])
    unfinished = np.arange(len(wins))
    while len(unfinished):
        own, weight = strengths[unfinished], weights[unfinished]
        chance = expit(own[:, :, None] - own[:, None, :])
        gradient = (wins[unfinished] - weight * chance).sum(axis=2) - PRIOR_PRECISION * own
        rate = weight * chance * (1 - chance)
        curvature = -rate
        curvature[:, places, places] = PRIOR_PRECISION + rate.sum(axis=2)
        step = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
        width = np.ptp(step, axis=1)
        length = np.log1p(width) / np.maximum(width, np.finfo(float).tiny)
        strengths[unfinished] += step * length[:, None]
        unfinished = unfinished[width >= SMALLEST_STEP]
    return strengths
