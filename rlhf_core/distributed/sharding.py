"""Sharding of models over ranks, for models that do not fit one GPU (FSDP2).

Each rank holds its share of every layer; a layer is gathered only while a pass goes through it. Of
a model that is trained, gradients and moments are sharded in the same way; adapters and heads are
replicated. With several replicas each machine holds all shards: layers are gathered within it, and
only the sums of gradients travel between machines.

The ranks that share a model must make the same passes at the same time, in a training all ranks: a
rank that has finished its share makes empty passes until the others finish.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from rlhf_core.distributed.ranks import all_reduce_max, mesh_of_ranks

_sharded: "WeakKeyDictionary[nn.Module, _Sharding]" = WeakKeyDictionary()
"""Each sharded model, and how it is sharded."""
NO_PASS = 0
READ = "read_hidden_states"
"""Name of the method by which FSDP sees a pass through a whole model without its output layer."""


@dataclass(frozen=True)
class _Sharding:
    mesh: DeviceMesh
    """One row of all ranks, or a row for each replica."""
    dtype: torch.dtype
    """Precision of the model's matrix products."""


def shard_model(
    model: PreTrainedModel, device: torch.device, dtype: torch.dtype, replicas: int = 1
) -> None:
    """Shard a model with its embeddings; the gradients of what is trained are summed and sharded.

    What is outside the layers stays gathered from a forward pass to the end of its backward pass,
    since log-probabilities are computed from the output embedding's weight and not by calling the
    layer. Adapters that are added later stay outside, replicated.

    Args:
        model: Without weights, or on the CPU, so that no GPU ever holds all of it.
        device: The device of this rank, where the shards will be.
        dtype: Precision of matrix products.
        replicas: Groups of successive ranks, each of which holds all shards.
    """
    _shard(model, _Sharding(mesh_of_ranks(device.type, replicas), dtype))


def shard_alike(model: PreTrainedModel, other: PreTrainedModel) -> None:
    """Shard a model over the same ranks as another, which is sharded."""
    _shard(model, _sharded[other])


def _shard(model: PreTrainedModel, sharding: _Sharding) -> None:
    mesh = sharding.mesh
    for layer in model.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    fully_shard(model, mesh=mesh, reshard_after_forward=False)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            # A sum, since losses are divided by counts of the whole step.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    setattr(model, READ, model.base_model.forward)
    register_fsdp_forward_method(model, READ)
    model.base_model.forward = getattr(model, READ)
    _sharded[model] = sharding


def is_sharded(model: nn.Module) -> bool:
    return model in _sharded


def reshard(model: nn.Module) -> None:
    """Free what a pass left gathered outside the layers; the next pass gathers it again.

    Otherwise the next pass after a change of the weights would use the former ones.
    """
    if isinstance(model, FSDPModule):
        model.reshard()


def own_shard(tensor: Tensor) -> Tensor:
    """Return this rank's shard of a sharded tensor; any other tensor as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def gathered(tensor: Tensor) -> Tensor:
    """Return the whole of a sharded tensor, for which all ranks call this; another as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def is_first_replica(tensor: DTensor) -> bool:
    """Return True on the ranks whose shards are the first copy of a sharded tensor."""
    mesh = tensor.device_mesh
    return mesh.ndim == 1 or mesh.get_local_rank(0) == 0


def as_shard_of(whole: Tensor, shard: Tensor) -> Tensor:
    """Return this rank's shard as a sharded tensor, placed as another is; else the shard itself.

    Args:
        whole: The tensor whose placement is taken; it may not be sharded at all.
        shard: The values of this rank's shard.
    """
    if not isinstance(whole, DTensor):
        return shard
    return DTensor.from_local(
        shard.to(whole.device_mesh.device_type),
        whole.device_mesh,
        whole.placements,
        run_check=False,
        shape=whole.shape,
        stride=whole.stride(),
    )


def rows_of_rank(whole: DTensor) -> slice:
    """Return the rows of a sharded tensor that this rank holds, as FSDP divides them."""
    mesh, rows = whole.device_mesh, whole.shape[0]
    sharded = mesh.ndim - 1  # the last dimension of the mesh; one before it is of replicas
    share = -(-rows // mesh.size(sharded))
    start = min(mesh.get_local_rank(sharded) * share, rows)
    return slice(start, min(start + share, rows))


@contextmanager
def in_lockstep(models: Sequence[PreTrainedModel], is_training: bool) -> Iterator[None]:
    """Let each rank make its own number of passes over the models inside the context.

    Every pass over a sharded model is announced to the other ranks; a pass with gradients must run
    its backward pass before the next. Other models are left unchanged.

    Args:
        models: The models that passes may go through, in the same order on every rank.
        is_training: True if passes may have gradients, whose sums all replicas need at once; else
            each replica makes its own number of passes.
    """
    sharded = [model for model in models if is_sharded(model)]
    if not sharded:
        yield
        return
    mesh = _sharded[sharded[0]].mesh
    group = None if is_training else mesh.get_group(mesh.ndim - 1)
    announcing = [_announce_passes(sharded, number, group) for number in range(len(sharded))]
    yield
    for handle in announcing:
        handle.remove()
    while (others := all_reduce_max(NO_PASS, group)) != NO_PASS:
        _make_empty_pass(sharded, others)
    for model in sharded:
        reshard(model)


def _announce_passes(
    models: Sequence[PreTrainedModel], number: int, group: ProcessGroup | None
) -> RemovableHandle:
    """Announce each pass over one of the models, before the hook of FSDP, which gathers at once."""

    def announce(module: nn.Module, arguments: object) -> None:
        all_reduce_max(1 + 2 * number + torch.is_grad_enabled(), group)
        _reshard_others(models, number)

    return models[number].base_model.register_forward_pre_hook(announce, prepend=True)


def _make_empty_pass(models: Sequence[PreTrainedModel], others: int) -> None:
    """Make an empty pass beside one of the other ranks; its gradients are 0.

    Args:
        models: The sharded models.
        others: The pass that the other ranks announced.
    """
    number, with_gradients = divmod(others - 1, 2)
    model = models[number]
    _reshard_others(models, number)
    ids = torch.zeros((1, 1), dtype=torch.long, device=model.device)
    dtype = _sharded[model].dtype
    with torch.set_grad_enabled(bool(with_gradients)):
        with torch.autocast(model.device.type, dtype=dtype, enabled=dtype != torch.float32):
            hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        if hidden.requires_grad:
            total = hidden.sum()
            output = model.get_output_embeddings().weight
            if output.requires_grad:
                total = total + output.sum()  # the others have a gradient of it, too
            (0 * total).backward()


def _reshard_others(models: Sequence[PreTrainedModel], number: int) -> None:
    """Free what earlier passes left gathered of the models other than one."""
    for place, model in enumerate(models):
        if place != number:
            reshard(model)
