"""Losses over a whole ranking at once: of a reward model, and of a policy that is its own."""

import torch.nn.functional as F
from torch import Tensor

from rlhf_core.algorithms.losses.tensors import require_same_shape
from rlhf_core.errors import ShapeError


def kwise_loss(rewards: Tensor, preferences: Tensor, margins: Tensor | None = None) -> Tensor:
    """−log σ(r_i − r_j), averaged over the pairs of one prompt (arXiv:2203.02155, eq. 1).

    All pairs share one forward a completion, so K candidates cost K rows and not K·(K−1).

    Args:
        rewards: Reward of each candidate, (K,).
        preferences: Cell (i, j) is the probability that i is better than j; a hard label is 1 in
            one cell and 0 in the mirrored one, a pair that says nothing is 0 in both, (K, K).
        margins: What r_i − r_j is to exceed (arXiv:2307.09288, eq. 2), (K, K).

    Returns:
        Mean over the pairs, in nats; log 2 where the model cannot tell candidates apart.

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
    """(h_i − h_j − 1/(2τ))², averaged over the pairs of one prompt (arXiv:2310.12036, eq. 17).

    Args:
        log_ratios: log π(y) − log π_reference(y) of each whole answer, in nats, (K,).
        preferences: As in `kwise_loss`, (K, K).
        tau: τ.
    """
    differences = log_ratios[:, None] - log_ratios[None, :]
    require_same_shape(differences=differences, preferences=preferences)
    losses = (differences - 1 / (2 * tau)) ** 2 * preferences
    return losses.sum() / preferences.sum().clamp(min=1e-8)


def smoothed(preferences: Tensor, label_smoothing: float) -> Tensor:
    """Preferences of which each is the wrong way round with that chance, (K, K)."""
    return (1 - label_smoothing) * preferences + label_smoothing * preferences.T


def pairs_in_order(rewards: Tensor, preferences: Tensor) -> Tensor:
    """Share of the pairs whose preferred candidate has the higher reward; equal rewards count half.

    Args:
        rewards: (K,).
        preferences: As in `kwise_loss`, (K, K); a pair at one half has no preferred candidate.

    Returns:
        The share, 0 to 1; NaN where no pair has a preferred candidate, so that nobody counts it.
    """
    differences = rewards[:, None] - rewards[None, :]
    require_same_shape(differences=differences, preferences=preferences)
    is_preferred = preferences > preferences.T
    is_right = (differences > 0).float() + 0.5 * (differences == 0)
    return is_right[is_preferred].sum() / is_preferred.sum()
