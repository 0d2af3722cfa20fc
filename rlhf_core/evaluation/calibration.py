"""Calibration of a judge's probabilities: its measures, and the fit that corrects it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

BINS = 10
SHARPEST = 1e-4
"""Least distance of probabilities from 0 and 1, where the logit is infinite."""
STEEPEST = 20.0
"""Limit of a slope; without it, the slope diverges if all answers are right."""


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability curve: the mean probability, and the mean target."""

    n: int
    probability: float
    target: float


@dataclass(frozen=True)
class Scaling:
    """A map of probabilities: σ(slope · logit(p) + bias). The temperature is 1 / slope."""

    slope: float
    bias: float = 0.0

    def apply(self, probabilities: Sequence[float]) -> list[float]:
        return [float(p) for p in expit(self.slope * _logits(probabilities) + self.bias)]


def reliability(
    probabilities: Sequence[float], targets: Sequence[float], bins: int = BINS
) -> list[Bin]:
    """Return the reliability curve over bins of equal width, without empty bins.

    Args:
        probabilities: Probability of each event, 0 to 1.
        targets: 1 if the event happened, else 0, or a share in between.
        bins: Number of bins.
    """
    edges = [min(int(probability * bins), bins - 1) for probability in probabilities]
    curve = []
    for number in sorted(set(edges)):
        chosen = [place for place, edge in enumerate(edges) if edge == number]
        curve.append(
            Bin(
                len(chosen),
                math.fsum(probabilities[place] for place in chosen) / len(chosen),
                math.fsum(targets[place] for place in chosen) / len(chosen),
            )
        )
    return curve


def expected_calibration_error(
    probabilities: Sequence[float], targets: Sequence[float], bins: int = BINS
) -> float:
    """Return the mean gap between probability and target over bins, weighted by their size.

    This is equation 3 of arXiv:1706.04599 for the probability itself, not for the larger of two.

    Args:
        probabilities: Probability of each event, 0 to 1.
        targets: 1 if the event happened, else 0, or a share in between.
        bins: Number of bins of equal width.
    """
    curve = reliability(probabilities, targets, bins)
    gaps = math.fsum(point.n * abs(point.probability - point.target) for point in curve)
    return gaps / len(probabilities)


def brier_score(probabilities: Sequence[float], targets: Sequence[float]) -> float:
    """Return the mean squared error of the probabilities (Brier 1950); always 0.5 scores 0.25."""
    errors = [(p - t) ** 2 for p, t in zip(probabilities, targets, strict=True)]
    return math.fsum(errors) / len(errors)


def fit_scaling(
    probabilities: Sequence[float], targets: Sequence[float], has_bias: bool
) -> Scaling:
    """Return the map with the least cross-entropy against the targets.

    Without a bias it is temperature scaling (arXiv:1706.04599, section 4.2), which maps one half to
    one half, as it must if the order of two answers is random. With a bias it is Platt's (1999).
    The slope is at least 0, so that no order is reversed.

    Args:
        probabilities: Probability of each event, 0 to 1.
        targets: 1 if the event happened, else 0, or a share in between.
        has_bias: True to fit a bias as well.
    """
    logits, wanted = _logits(probabilities), np.asarray(targets, dtype=float)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        scores = parameters[0] * logits + parameters[1]
        gap = expit(scores) - wanted
        gradient = np.array([np.mean(gap * logits), np.mean(gap)])
        return float(np.mean(np.logaddexp(0, scores) - wanted * scores)), gradient

    limits = [(0.0, STEEPEST), (-STEEPEST, STEEPEST) if has_bias else (0.0, 0.0)]
    fitted = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=limits)
    return Scaling(float(fitted.x[0]), float(fitted.x[1]))


def _logits(probabilities: Sequence[float]) -> np.ndarray:
    return np.asarray(logit(np.clip(probabilities, SHARPEST, 1 - SHARPEST)))
