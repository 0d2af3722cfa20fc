"""Length-controlled win rate: that of answers as long as the baseline's (arXiv:2404.04475).

A judge that prefers long answers lets a policy win by length. The generalised linear model of
AlpacaEval 2 explains each result by the policy and by the difference in length,

    P(win) = σ(θ + φ · tanh(d / s)),

where d is the policy's characters minus the baseline's and s the standard deviation of d. The
length-controlled win rate is the model's at d = 0, which is σ(θ). AlpacaEval adds a difficulty of
each instruction, fitted on a hundred models; two models on held-out prompts cannot give it.
tests/benchmarks/RESULTS.md compares both with AlpacaEval's published rates.

θ has no prior: with answers of equal length the rate is the win rate itself. The prior of φ keeps
it finite if the longer answer always wins, and the interval wide if length and policy cannot be
told apart.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit

from rlhf_core.evaluation.logistic import Floats, fit_logistic

PRIOR_DEVIATION = 2.5
"""Standard deviation of the prior of φ: the scale of Gelman et al. (Annals of Applied Statistics 2,
2008). AlpacaEval's 198 published models have φ between 1 and 3."""
LEAST_PROMPTS = 8
"""Least number of prompts with measured coverage; with fewer, results are often all equal."""


@dataclass(frozen=True)
class LengthControlled:
    """A length-controlled win rate with its interval, and the effect of length φ."""

    rate: float
    low: float
    high: float
    prompts: int
    length_effect: float
    """Log-odds that a much longer answer gains, and a much shorter one loses."""


def length_controlled_win_rate(
    results: Sequence[float],
    differences: Sequence[float],
    clusters: Sequence[Hashable],
    confidence: float = 0.95,
) -> LengthControlled | None:
    """Return the win rate that the policy would have with answers as long as the baseline's.

    Each prompt counts once, as in the win rate. The interval is by the t distribution on the
    log-odds, with standard errors by prompt.

    Args:
        results: 1 for each comparison that the policy won, 0 for a loss, 0.5 for a tie.
        differences: Characters of the policy's answer minus those of the baseline's.
        clusters: Prompt of each comparison.
        confidence: Confidence of the interval, 0.95 for 95 %.

    Returns:
        The rate; None with fewer than `LEAST_PROMPTS` prompts, or if all results are equal or all
        differences are equal but not 0: then nothing tells the policy's effect from the length's.
    """
    counts = Counter(clusters)
    prompts = len(counts)
    won, differ = np.asarray(results, dtype=float), np.asarray(differences, dtype=float)
    is_told_apart = np.ptp(differ) > 0 or not differ.any() if len(differ) else False
    if prompts < LEAST_PROMPTS or np.ptp(won) == 0 or not is_told_apart:
        return None
    design = np.column_stack([np.ones(len(won)), length_feature(differ)])
    weights = np.array([1 / counts[cluster] for cluster in clusters])
    precision = np.array([0.0, PRIOR_DEVIATION**-2])
    fit = fit_logistic(design, won, weights, precision, clusters)
    theta, effect = (float(value) for value in fit.coefficients)
    reach = stats.t.ppf((1 + confidence) / 2, prompts - 1) * np.sqrt(fit.covariance[0, 0])
    low, high = expit(theta - reach), expit(theta + reach)
    return LengthControlled(float(expit(theta)), float(low), float(high), prompts, effect)


def length_feature(differences: Floats) -> Floats:
    """Return tanh(d / s) of each difference in length, (N,); 0 if all are 0.

    s is the standard deviation of the differences about their mean, as in AlpacaEval.
    """
    deviation = differences.std(ddof=1)
    return np.tanh(differences / deviation) if deviation > 0 else np.zeros(len(differences))
