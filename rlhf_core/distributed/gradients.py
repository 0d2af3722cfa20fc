"""Gradients of all ranks: their sum, and their joint norm.

Gradients of replicated parameters are summed here. Those of sharded parameters are summed in each
backward pass, and every rank holds its shard of the sum.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from rlhf_core.distributed.ranks import all_reduce, world_size
from rlhf_core.distributed.sharding import is_first_replica, own_shard

NEVER_ZERO = 1e-6
"""Added to a norm before it divides, as in `torch.nn.utils.clip_grad_norm_`."""


@torch.no_grad()
def all_reduce_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Sum the gradients of replicated parameters over all ranks, in place; none counts as 0."""
    if world_size() == 1:
        return
    for parameter in parameters:
        if not isinstance(parameter, DTensor):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            all_reduce(parameter.grad)


@torch.no_grad()
def clip_gradients(parameters: Sequence[nn.Parameter], max_norm: float) -> float:
    """Scale summed gradients down to a largest joint norm, and return their norm before.

    Args:
        parameters: Replicated and sharded parameters.
        max_norm: The largest joint norm.

    Returns:
        The norm of the gradients of all parameters, each counted once, so the same on every rank.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    shards = [gradient for gradient in gradients if isinstance(gradient, DTensor)]
    if not shards:
        return float(nn.utils.clip_grad_norm_(parameters, max_norm))
    sharded = [own_shard(gradient) for gradient in shards]
    counted = [own_shard(gradient) for gradient in shards if is_first_replica(gradient)]
    replicated = [gradient for gradient in gradients if not isinstance(gradient, DTensor)]
    square = all_reduce(_norm(counted).square().to(sharded[0].device))
    if replicated:
        square = square + _norm(replicated).square()
    norm = square.sqrt()
    scale = (max_norm / (norm + NEVER_ZERO)).clamp(max=1.0)
    for gradient in [*sharded, *replicated]:
        gradient.mul_(scale)
    return norm.item()


def _norm(gradients: Sequence[Tensor]) -> Tensor:
    return nn.utils.get_total_norm(gradients)
