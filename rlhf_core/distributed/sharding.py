"""Sharding of a model's layers over all ranks, for models that do not fit one GPU (FSDP2).

Each rank holds its share of every frozen layer; a layer is gathered only while a pass goes through
it. Adapters, heads and the output embedding are replicated. So all ranks must make the same passes
at the same time: a rank that has finished its share makes empty passes until the others finish.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from weakref import WeakSet

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from rlhf_core.distributed.ranks import all_reduce_max, world_size

_sharded: WeakSet[nn.Module] = WeakSet()


class _Pass(IntEnum):
    """The pass that a rank is about to make."""

    NONE = 0
    FORWARD = 1
    FORWARD_AND_BACKWARD = 2


def shard(model: PreTrainedModel, device: torch.device) -> None:
    """Shard the layers of a frozen model over the devices of all ranks.

    Args:
        model: On the CPU, so that no GPU ever holds all of it.
        device: The device of this rank.
    """
    mesh = init_device_mesh(device.type, (world_size(),))
    for layer in model.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    fully_shard(model.base_model, mesh=mesh)
    model.to(device)  # type: ignore[arg-type]  # their wrapper hides `to`
    _sharded.add(model)


def is_sharded(model: nn.Module) -> bool:
    return model in _sharded


@contextmanager
def in_lockstep(model: PreTrainedModel) -> Iterator[None]:
    """Let each rank make its own number of passes over the model inside the context.

    Every pass over a sharded model is announced to the other ranks; a pass with gradients must run
    its backward pass before the next. Any other model is left unchanged.
    """
    if not is_sharded(model):
        yield
        return
    # Before the hook of FSDP, which gathers at once.
    announcing = model.base_model.register_forward_pre_hook(_announce, prepend=True)
    yield
    announcing.remove()
    while (others := _Pass(all_reduce_max(_Pass.NONE))) is not _Pass.NONE:
        _make_empty_pass(model, others)


def _announce(module: nn.Module, arguments: object) -> None:
    all_reduce_max(_Pass.FORWARD_AND_BACKWARD if torch.is_grad_enabled() else _Pass.FORWARD)


def _make_empty_pass(model: PreTrainedModel, others: _Pass) -> None:
    """Make an empty pass beside one of the other ranks; its gradients are 0."""
    ids = torch.zeros((1, 1), dtype=torch.long, device=model.device)
    is_reduced = model.dtype != torch.float32
    with torch.set_grad_enabled(others is _Pass.FORWARD_AND_BACKWARD):
        with torch.autocast(model.device.type, dtype=model.dtype, enabled=is_reduced):
            hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        if hidden.requires_grad:
            (0 * hidden.sum()).backward()
