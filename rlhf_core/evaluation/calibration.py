"""Whether a judge's probabilities mean what they say, and mending them if not."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

BINS = 10
SHARPEST = 1e-4
"""Probabilities are kept this far from 0 and 1, where the logit is infinite."""
STEEPEST = 20.0
"""Limit of a slope; without it, answers that are all right would have none."""


@dataclass(frozen=True)
class Bin:
    """The probabilities of one bin of a reliability curve, and how often they came true."""

    n: int
    probability: float
    target: float


@dataclass(frozen=True)
class Scaling:
    """A map of probabilities: σ(slope · logit(p) + bias). Temperature is 1 / slope."""

    slope: float
    bias: float = 0.0

    def apply(self, probabilities: Sequence[float]) -> list[float]:
        return [float(p) for p in expit(self.slope * _logits(probabilities) + self.bias)]


def reliability(
    probabilities: Sequence[float], targets: Sequence[float], bins: int = BINS
) -> list[Bin]:
    """The reliability curve over bins of equal width; bins with nothing in them are left out."""
    edges = [min(int(probability * bins), bins - 1) for probability in probabilities]
    found = []
    for number in sorted(set(edges)):
        chosen = [place for place, edge in enumerate(edges) if edge == number]
        found.append(
            Bin(
                len(chosen),
                math.fsum(probabilities[place] for place in chosen) / len(chosen),
                math.fsum(targets[place] for place in chosen) / len(chosen),
            )
        )
    return found


def expected_calibration_error(
    probabilities: Sequence[float], targets: Sequence[float], bins: int = BINS
) -> float:
    """Mean gap between probability and outcome over bins of equal width, by their size.

    arXiv:1706.04599, equation 3, of the probability itself rather than of the larger of two.
    """
    curve = reliability(probabilities, targets, bins)
    gaps = math.fsum(point.n * abs(point.probability - point.target) for point in curve)
    return gaps / len(probabilities)


def brier_score(probabilities: Sequence[float], targets: Sequence[float]) -> float:
    """Mean squared error of the probabilities (Brier 1950); 0.25 is what one half always gets."""
    errors = [(p - t) ** 2 for p, t in zip(probabilities, targets, strict=True)]
    return math.fsum(errors) / len(errors)


def fit_scaling(
    probabilities: Sequence[float], targets: Sequence[float], has_bias: bool
) -> Scaling:
    """The map with the least cross-entropy against the targets.

    Without a bias it is temperature scaling (arXiv:1706.04599, section 4.2): where which answer is
    called the first is drawn, one half must stay one half. With one it is Platt's (1999). The slope
    stays at or above 0, so that no order is turned round.
    """
    logits, wanted = _logits(probabilities), np.asarray(targets, dtype=float)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        scores = parameters[0] * logits + parameters[1]
        gap = expit(scores) - wanted
        gradient = np.array([np.mean(gap * logits), np.mean(gap)])
        return float(np.mean(np.logaddexp(0, scores) - wanted * scores)), gradient

    limits = [(0.0, STEEPEST), (-STEEPEST, STEEPEST) if has_bias else (0.0, 0.0)]
    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=limits)
    return Scaling(float(found.x[0]), float(found.x[1]))


def _logits(probabilities: Sequence[float]) -> np.ndarray:
    return np.asarray(logit(np.clip(probabilities, SHARPEST, 1 - SHARPEST)))
