"""The maths of GRPO that compares the answers to one prompt, a group: pure functions.

B answers stand group after group, `samples` in each. NaN is an answer without a score.
"""

import math

import torch
from torch import Tensor

from rlhf_core.errors import ShapeError

DEVIATION_EPS = 1e-4
"""Added to a deviation before a division, so that differences by rounding stay small."""
LEAST_DIFFERENCE = 1e-6
"""Scores that differ by no more than this are equal but for rounding."""


def group_advantages(scores: Tensor, samples: int, divide_by_deviation: bool) -> Tensor:
    """Return each answer's score minus its group's mean (arXiv:2402.03300, section 4.1.2).

    Args:
        scores: Scores of whole answers, penalties included, (B,).
        samples: Number of answers in a group.
        divide_by_deviation: True to divide by the group's standard deviation, that of a sample
            (n − 1), plus 1e-4; Dr. GRPO does not (arXiv:2503.20783, eq. 3).

    Returns:
        Advantages, (B,). An unscored answer has 0 and counts in no mean or deviation; the only
        scored answer of a group has 0 too.

    Raises:
        ShapeError: If a group has fewer than two answers, or B is no multiple of `samples`.
    """
    groups = _groups(scores, samples)
    is_scored = ~groups.isnan()
    counts = is_scored.sum(dim=1, keepdim=True)
    means = groups.nansum(dim=1, keepdim=True) / counts.clamp(min=1)
    advantages = torch.where(is_scored & (counts > 1), groups - means, 0.0)
    if divide_by_deviation:
        variances = (advantages**2).sum(dim=1, keepdim=True) / (counts - 1).clamp(min=1)
        advantages = advantages / (variances.sqrt() + DEVIATION_EPS)
    return advantages.view(-1)


def differing_groups(scores: Tensor, samples: int) -> Tensor:
    """Return a mask of the groups with two answers of different scores, (B / samples,).

    Args:
        scores: Scores of whole answers, (B,).
        samples: Number of answers in a group.

    Raises:
        ShapeError: If a group has fewer than two answers, or B is no multiple of `samples`.
    """
    groups = _groups(scores, samples)
    highest = torch.where(groups.isnan(), -math.inf, groups).amax(dim=1)
    lowest = torch.where(groups.isnan(), math.inf, groups).amin(dim=1)
    return highest - lowest > LEAST_DIFFERENCE


def overlong_penalties(lengths: Tensor, limit: int, buffer: int) -> Tensor:
    """Return what DAPO adds to the score of long answers (arXiv:2503.14476, eq. 13).

    Args:
        lengths: Length of each answer, in tokens, (B,).
        limit: Largest length.
        buffer: Number of tokens before the limit in which the penalty grows.

    Returns:
        0 up to `limit` − `buffer`, then linearly down to −1 at the limit, (B,).
    """
    return ((limit - buffer - lengths) / buffer).clamp(-1.0, 0.0)


def _groups(scores: Tensor, samples: int) -> Tensor:
    if samples < 2 or len(scores) % samples:
        raise ShapeError(
            f"a group compares the answers to one prompt: {len(scores)} answers, {samples} a prompt"
        )
    return scores.view(-1, samples)
