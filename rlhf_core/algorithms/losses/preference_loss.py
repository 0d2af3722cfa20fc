"""Losses over a whole ranking at once, for reward models and for direct preference optimisation."""

import torch.nn.functional as F
from torch import Tensor

from rlhf_core.algorithms.losses.tensors import require_same_shape
from rlhf_core.errors import ShapeError


def kwise_loss(rewards: Tensor, preferences: Tensor, margins: Tensor | None = None) -> Tensor:
    """Return −log σ(r_i − r_j), averaged over the pairs of one prompt (arXiv:2203.02155, eq. 1).

    All pairs share one forward pass a candidate, so K candidates cost K rows and not K·(K−1).

    Args:
        rewards: Reward of each candidate, (K,).
        preferences: Cell (i, j) is the probability that i is better than j, (K, K). A hard label is
            1 in one cell and 0 in the mirrored cell; a pair without a label is 0 in both.
        margins: Cell (i, j) is subtracted from r_i − r_j (arXiv:2307.09288, eq. 2), (K, K).

    Returns:
        Mean over the pairs, in nats; log 2 if the model cannot tell the candidates apart.

    Raises:
        ShapeError: If preferences is not square in the number of rewards, or rewards not flat.
    """
    if rewards.dim() != 1:
        raise ShapeError(f"rewards must be (K,), not {tuple(rewards.shape)}")
    differences = rewards[:, None] - rewards[None, :]
    require_same_shape(differences=differences, preferences=preferences)
    if margins is not None:
        require_same_shape(differences=differences, margins=margins)
        differences = differences - margins
    losses = -F.logsigmoid(differences) * preferences
    return losses.sum() / preferences.sum().clamp(min=1e-8)


def ipo_loss(log_ratios: Tensor, preferences: Tensor, tau: float) -> Tensor:
    """Return (h_i − h_j − 1/(2τ))², mean over the pairs of one prompt (arXiv:2310.12036, eq. 17).

    Args:
        log_ratios: h, log π(y) − log π_reference(y) of each whole answer, in nats, (K,).
        preferences: As in `kwise_loss`, (K, K).
        tau: τ, per nat.

    Returns:
        Mean over the pairs, in nats².

    Raises:
        ShapeError: If preferences is not square in the number of answers.
    """
    differences = log_ratios[:, None] - log_ratios[None, :]
    require_same_shape(differences=differences, preferences=preferences)
    losses = (differences - 1 / (2 * tau)) ** 2 * preferences
    return losses.sum() / preferences.sum().clamp(min=1e-8)


def smooth_labels(preferences: Tensor, label_smoothing: float) -> Tensor:
    """Return preferences, (K, K), of which each is reversed with probability `label_smoothing`."""
    return (1 - label_smoothing) * preferences + label_smoothing * preferences.T


def pairwise_accuracy(rewards: Tensor, preferences: Tensor) -> Tensor:
    """Return the share of pairs whose preferred candidate has the higher reward; ties count half.

    Args:
        rewards: Reward of each candidate, (K,).
        preferences: As in `kwise_loss`, (K, K); a pair at one half has no preferred candidate.

    Returns:
        The share, 0 to 1; NaN if no pair has a preferred candidate, so that it cannot be counted.

    Raises:
        ShapeError: If preferences is not square in the number of rewards.
    """
    differences = rewards[:, None] - rewards[None, :]
    require_same_shape(differences=differences, preferences=preferences)
    is_preferred = preferences > preferences.T
    is_right = (differences > 0).float() + 0.5 * (differences == 0)
    return (is_right * is_preferred).sum() / is_preferred.sum()
