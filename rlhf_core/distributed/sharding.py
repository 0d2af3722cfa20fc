"""A model's layers in shards over all processes, for models that do not fit one GPU (FSDP2).

Each process holds its share of every frozen layer; a layer is whole only while a pass goes through
it. Adapters, heads and the output embedding are whole on each. So all processes must make the same
passes at the same time: one that has done its share makes empty ones until the others have, too.
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

from rlhf_core.distributed.ranks import largest, world

_sharded: WeakSet[nn.Module] = WeakSet()


class _Pass(IntEnum):
    """What a process is about to do."""

    NONE = 0
    FORWARD = 1
    FORWARD_AND_BACKWARD = 2


def shard(model: PreTrainedModel, device: torch.device) -> None:
    """Lay the layers of a frozen model in shards on the devices, one a process.

    Args:
        model: On the CPU, so that no GPU ever holds it whole.
        device: Of this process.
    """
    mesh = init_device_mesh(device.type, (world(),))
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
    """Within it each process makes its own passes over the model, however many.

    Of a sharded model every pass is announced, and one with gradients has its backward pass before
    the next. Any other model is left alone.
    """
    if not is_sharded(model):
        yield
        return
    # Before the hook of FSDP, which gathers at once.
    announcing = model.base_model.register_forward_pre_hook(_announce, prepend=True)
    yield
    announcing.remove()
    while (others := _Pass(largest(_Pass.NONE))) is not _Pass.NONE:
        _empty(model, others)


def _announce(module: nn.Module, arguments: object) -> None:
    largest(_Pass.FORWARD_AND_BACKWARD if torch.is_grad_enabled() else _Pass.FORWARD)


def _empty(model: PreTrainedModel, others: _Pass) -> None:
    """A pass that the others make with what they have; its gradients are 0."""
    ids = torch.zeros((1, 1), dtype=torch.long, device=model.device)
    is_reduced = model.dtype != torch.float32
    with torch.set_grad_enabled(others is _Pass.FORWARD_AND_BACKWARD):
        with torch.autocast(model.device.type, dtype=model.dtype, enabled=is_reduced):
            hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        if hidden.requires_grad:
            (0 * hidden.sum()).backward()
