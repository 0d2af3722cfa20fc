"""Collective operations of data-parallel training: each rank computes its share of every batch.

Every rank runs the same loop over the same data in the same order. Losses are divided by counts of
the whole step, so the sum of all gradients is the gradient of a single process. With one rank
nothing here costs anything. `torchrun` starts the ranks; collective.py says how rank 0 leads them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as distributed
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from rlhf_core.distributed.launch import launched_world_size
from rlhf_core.errors import ConfigError, FailedRankError, LostProcessError, SolonError

Item = TypeVar("Item")
COMPUTE_TIMEOUT = timedelta(hours=2)
"""Ranks that compute wait this long for the slowest of them."""
LEADER_TIMEOUT = timedelta(days=365)
"""Ranks wait this long for rank 0, which may be waiting for remote judges: practically forever.
They notice at once when another rank ends, whatever the timeout."""

_leader_groups: list[distributed.ProcessGroup] = []
_meshes: dict[tuple[str, int], DeviceMesh] = {}
"""The meshes so far, since each of several replicas has process groups of its own."""
_is_alone = False


def join_ranks() -> None:
    """Connect to the other ranks that torchrun started, if there are any.

    Tensors on GPUs are reduced through NCCL, everything else through gloo.
    """
    if launched_world_size() == 1 or distributed.is_initialized():
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, timeout=COMPUTE_TIMEOUT)
    _leader_groups.append(distributed.new_group(backend="gloo", timeout=LEADER_TIMEOUT))


def leave_ranks() -> None:
    """Disconnect from the other ranks; all ranks call this at the same time.

    gloo's threads would abort a process that ends while they still run.
    """
    _leader_groups.clear()
    _meshes.clear()
    if distributed.is_initialized():
        distributed.destroy_process_group()


@contextmanager
def alone(is_alone: bool = True) -> Iterator[None]:
    """Make this process act as the only rank inside the context.

    Args:
        is_alone: False ends that for a nested context, which acts with all ranks again.
    """
    global _is_alone
    before, _is_alone = _is_alone, is_alone
    try:
        yield
    finally:
        _is_alone = before


def world_size() -> int:
    """Return the number of ranks that take part; 1 inside `alone`."""
    return distributed.get_world_size() if distributed.is_initialized() and not _is_alone else 1


def rank() -> int:
    """Return the rank of this process, from 0."""
    return distributed.get_rank() if world_size() > 1 else 0


def mesh_of_ranks(device_type: str, replicas: int = 1) -> DeviceMesh:
    """Return all ranks as a mesh that shards a model; all ranks call this at the same time.

    Args:
        device_type: cpu or cuda.
        replicas: Groups of successive ranks, each of which holds all shards.

    Returns:
        One row of ranks, or a row for each replica.

    Raises:
        ConfigError: If the ranks disagree about the replicas.
    """
    if all_reduce_max(replicas) != -all_reduce_max(-replicas):
        raise ConfigError(
            "compute.shard = 'node' needs equally many processes on each machine; give torchrun "
            "the same --nproc-per-node on all of them, or set it to true"
        )
    if replicas == 1:
        return init_device_mesh(device_type, (world_size(),))
    key = (device_type, replicas)
    if key not in _meshes:
        shape = (replicas, world_size() // replicas)
        _meshes[key] = init_device_mesh(device_type, shape, mesh_dim_names=("replicate", "shard"))
    return _meshes[key]


def share_of_rank(items: Sequence[Item]) -> list[Item]:
    """Return the items that are this rank's work: every n-th one of n ranks."""
    return list(items[rank() :: world_size()])


def from_rank_zero(compute: Callable[[], Item]) -> Item:
    """Return what `compute` returns on rank 0, the only rank that calls it, on every rank.

    The other ranks wait for rank 0, without a practical timeout.

    Raises:
        FailedRankError: On the other ranks, if `compute` raises an error on rank 0.
    """
    if world_size() == 1:
        return compute()
    result: Item | None = None
    failure: Exception | None = None
    if rank() == 0:
        with alone():
            try:
                result = compute()
            except Exception as error:
                failure = error
    outcome: list[Any] = [result, _reason(failure)]
    with _connection_errors():
        distributed.broadcast_object_list(outcome, src=0, group=_leader_groups[0])
    if failure is not None:
        raise failure
    result, reason = outcome
    if reason is not None:
        raise FailedRankError(f"rank 0 failed: {reason}")
    return cast(Item, result)


@contextmanager
def failing_together() -> Iterator[None]:
    """Raise an error on all ranks at the end of the block if any of them fails inside it.

    All ranks enter the block. Inside it they make no collective call, or none that a rank which
    fails would leave out: the others would wait for it.

    Raises:
        FailedRankError: On a rank that has not failed itself; the message is that of one that has.
    """
    failure: Exception | None = None
    try:
        yield
    except LostProcessError:
        raise
    except Exception as error:
        failure = error
    reasons = _all_gather(_reason(failure))
    if failure is not None:
        raise failure
    for number, reason in enumerate(reasons):
        if reason is not None:
            raise FailedRankError(f"rank {number} failed: {reason}")


def all_reduce(part: Tensor) -> Tensor:
    """Sum a tensor over all ranks, in place, and return it; a rank leaves others' cells at 0."""
    if world_size() > 1:
        with _connection_errors():
            distributed.all_reduce(part)
    return part


def all_reduce_report(part: Mapping[str, float]) -> dict[str, float]:
    """Return the sum of each named number over all ranks; a rank without work may pass none."""
    reports = _all_gather(dict(part))
    names = dict.fromkeys(name for report in reports for name in report)
    return {name: sum(report.get(name, 0.0) for report in reports) for name in names}


def all_reduce_number(part: float) -> float:
    """Return the sum of a number over all ranks."""
    return sum(_all_gather(part))


def all_gather_mapping(part: Mapping[Any, Item]) -> dict[Any, Item]:
    """Return the union of the mappings of all ranks; a later rank wins where keys collide."""
    return {key: value for own in _all_gather(dict(part)) for key, value in own.items()}


def any_rank(is_true: bool) -> bool:
    """Return True if the claim is true on any rank."""
    return any(_all_gather(is_true))


def all_reduce_max(own: int, group: distributed.ProcessGroup | None = None) -> int:
    """Return the largest of the ranks' numbers; with a group, of its ranks'."""
    number = torch.tensor(own)
    if world_size() > 1:
        with _connection_errors():
            distributed.all_reduce(number, distributed.ReduceOp.MAX, group=group)
    return int(number)


def _all_gather(own: Item) -> list[Item]:
    if world_size() == 1:
        return [own]
    gathered: list[Any] = [None] * world_size()
    with _connection_errors():
        distributed.all_gather_object(gathered, own)
    return gathered


def _reason(failure: Exception | None) -> str | None:
    """Return an error in one line, for the other ranks; None without one."""
    if failure is None:
        return None
    kind = "" if isinstance(failure, SolonError) else f"{type(failure).__name__}: "
    return kind + next(iter(str(failure).splitlines()), "")


@contextmanager
def _connection_errors() -> Iterator[None]:
    """Raise LostProcessError where PyTorch reports a lost connection."""
    try:
        yield
    except RuntimeError as error:
        raise LostProcessError(
            "another process ended, so this one ends too; see the other's message for the reason "
            f"({str(error).splitlines()[0].split('. ')[0]})"
        ) from None
