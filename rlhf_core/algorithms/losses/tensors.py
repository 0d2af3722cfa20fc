"""Masked tensor arithmetic that the algorithms share: tensors in, tensors out.

Masks are boolean and true where a token is real. B is the batch, R the response tokens.
"""

import torch
from torch import Tensor

from rlhf_core.errors import ShapeError


def require_same_shape(**tensors: Tensor) -> None:
    """Refuse tensors of different shapes: (B, 1) and (B,) would silently broadcast to (B, B).

    Raises:
        ShapeError: If the shapes differ; it lists every name and shape.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) > 1:
        named = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ShapeError(f"shapes must be equal: {named}")


def rows_where(is_true: Tensor) -> list[int]:
    """Return the indices of the true cells of a vector, (B,)."""
    return [int(row) for row in is_true.nonzero()[:, 0]]


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the true cells of the whole batch; 0 if there are none."""
    require_same_shape(values=values, mask=mask)
    return (values * mask).sum() / mask.sum().clamp(min=1)


def masked_variance(values: Tensor, mask: Tensor) -> Tensor:
    """Return the population variance over the true cells; 0 if there are none."""
    return masked_mean((values - masked_mean(values, mask)) ** 2, mask)


def whiten(values: Tensor, mask: Tensor, keep_mean: bool = False) -> Tensor:
    """Scale the true cells to variance 1.

    Args:
        values: (B, R).
        mask: True for real tokens, (B, R).
        keep_mean: True to keep the mean instead of subtracting it. Advantages lose their mean;
            rewards keep it, because shifting them would change which policy is best.

    Returns:
        The whitened values, (B, R), 0 outside the mask.

    Raises:
        ShapeError: If the shapes differ.
    """
    require_same_shape(values=values, mask=mask)
    mean = masked_mean(values, mask)
    whitened = (values - mean) * torch.rsqrt(masked_variance(values, mask) + 1e-8)
    return (whitened + mean if keep_mean else whitened) * mask


def explained_variance(predicted: Tensor, actual: Tensor, mask: Tensor) -> Tensor:
    """Return 1 − Var(actual − predicted) / Var(actual).

    Args:
        predicted: Predicted values, (B, R).
        actual: Actual values, (B, R).
        mask: True for real tokens, (B, R).

    Returns:
        A scalar: 1 for a perfect prediction, 0 for a constant one.

    Raises:
        ShapeError: If the shapes differ.
    """
    require_same_shape(predicted=predicted, actual=actual, mask=mask)
    variance = masked_variance(actual, mask)
    return 1 - masked_variance(actual - predicted, mask) / variance.clamp(min=1e-8)
