"""Logistic regression on few prompts: weak priors, and standard errors by prompt.

Results are shares from 0 to 1, so a tie is 0.5. The covariance of the coefficients is the sandwich
H⁻¹ (M + Λ) H⁻¹ with the Hessian H of the penalised loss, the prior's precision Λ, and the sum M
over prompts of the outer products of their scores (Liang and Zeger, Biometrika 73, 1986). It holds
for ties and for answers that depend on each other within a prompt. Λ keeps a coefficient that the
results say nothing about as uncertain as its prior; the sandwich alone would give it no error.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

Floats = NDArray[np.float64]

TOLERANCE = 1e-9
"""Largest derivative of the loss at the solution."""


@dataclass(frozen=True)
class Fit:
    """Coefficients, (P,), and their covariance, (P, P)."""

    coefficients: Floats
    covariance: Floats


def fit_logistic(
    design: Floats,
    results: Floats,
    weights: Floats,
    precision: Floats,
    clusters: Sequence[Hashable],
) -> Fit:
    """Fit P(win) = σ(design · coefficients) by penalised maximum likelihood.

    Args:
        design: Features of each comparison, (N, P).
        results: Result of each comparison, 0 to 1, (N,).
        weights: Weight of each comparison in the likelihood, (N,).
        precision: 1 / variance of the normal prior around 0 of each coefficient, (P,); 0 for none.
        clusters: Prompt of each comparison; prompts are independent of each other.

    Returns:
        The coefficients and their covariance, corrected for few clusters by G / (G − 1).
    """

    def loss(coefficients: Floats) -> tuple[float, Floats]:
        logits = design @ coefficients
        nats = np.logaddexp(0, logits) - results * logits
        gradient = design.T @ (weights * (expit(logits) - results)) + precision * coefficients
        return float(weights @ nats + precision @ coefficients**2 / 2), gradient

    def hessian(coefficients: Floats) -> Floats:
        return _hessian(design, weights, precision, coefficients)

    start = np.zeros(design.shape[1])
    found = minimize(
        loss, start, jac=True, hess=hessian, method="trust-exact", options={"gtol": TOLERANCE}
    )
    own = np.asarray(found.x)
    return Fit(own, sandwich(design, results, weights, precision, own, clusters))


def sandwich(
    design: Floats,
    results: Floats,
    weights: Floats,
    precision: Floats,
    coefficients: Floats,
    clusters: Sequence[Hashable],
) -> Floats:
    """Return the covariance of fitted coefficients, (P, P).

    Args:
        design: Features of each comparison, (N, P).
        results: Result of each comparison, 0 to 1, (N,).
        weights: Weight of each comparison in the likelihood, (N,).
        precision: 1 / variance of the normal prior of each coefficient, (P,).
        coefficients: Coefficients of the least penalised loss, (P,).
        clusters: Prompt of each comparison; prompts are independent of each other.

    Returns:
        H⁻¹ (M + Λ) H⁻¹, with M times G / (G − 1) for G clusters, if there is more than one.
    """
    places = {cluster: place for place, cluster in enumerate(dict.fromkeys(clusters))}
    scores = design * (weights * (results - expit(design @ coefficients)))[:, None]
    sums = np.zeros((len(places), design.shape[1]))
    np.add.at(sums, [places[cluster] for cluster in clusters], scores)
    few = len(places) / max(1, len(places) - 1)
    inverse = np.linalg.inv(_hessian(design, weights, precision, coefficients))
    return np.asarray(inverse @ (few * sums.T @ sums + np.diag(precision)) @ inverse)


def _hessian(design: Floats, weights: Floats, precision: Floats, coefficients: Floats) -> Floats:
    chance = expit(design @ coefficients)
    rate = weights * chance * (1 - chance)
    return np.asarray(design.T @ (design * rate[:, None]) + np.diag(precision))
