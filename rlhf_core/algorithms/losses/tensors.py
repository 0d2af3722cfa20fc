"""Masked arithmetic that every algorithm shares: tensors in, tensors out.

Masks are boolean and true where a token is real. B is the batch, R the response tokens.
"""

import torch
from torch import Tensor

from rlhf_core.errors import ShapeError


def require_same_shape(**tensors: Tensor) -> None:
    """Refuse to broadcast: (B, 1) against (B,) would silently become (B, B).

    Raises:
        ShapeError: With every name and shape.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) > 1:
        named = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ShapeError(f"shapes must be equal: {named}")


def rows_where(is_true: Tensor) -> list[int]:
    """Return the indices of the true cells of a vector, (B,)."""
    return [int(row) for row in is_true.nonzero()[:, 0]]


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the true cells of the whole batch; 0 where there is none."""
    require_same_shape(values=values, mask=mask)
    return (values * mask).sum() / mask.sum().clamp(min=1)


def masked_variance(values: Tensor, mask: Tensor) -> Tensor:
    """Population variance over the true cells."""
    return masked_mean((values - masked_mean(values, mask)) ** 2, mask)


def whiten(values: Tensor, mask: Tensor, keep_mean: bool = False) -> Tensor:
    """Scale the true cells to variance 1; false cells become 0.

    Args:
        values: (B, R).
        mask: (B, R).
        keep_mean: Leave the mean where it was. Advantages lose theirs; rewards keep it, for
            moving it would change which policy is best.
    """
    require_same_shape(values=values, mask=mask)
    mean = masked_mean(values, mask)
    whitened = (values - mean) * torch.rsqrt(masked_variance(values, mask) + 1e-8)
    return (whitened + mean if keep_mean else whitened) * mask


def explained_variance(predicted: Tensor, actual: Tensor, mask: Tensor) -> Tensor:
    """1 − Var(actual − predicted) / Var(actual): 1 is a perfect critic, 0 a constant one."""
    require_same_shape(predicted=predicted, actual=actual, mask=mask)
    variance = masked_variance(actual, mask)
    return 1 - masked_variance(actual - predicted, mask) / variance.clamp(min=1e-8)
