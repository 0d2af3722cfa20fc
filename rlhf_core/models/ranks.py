"""Several processes that train as one: each takes its share of every batch, and sums meet.

Every process runs the same loop over the same data in the same order. Losses are divided by counts
of the whole step, so the sum of all gradients is the gradient of one process. Alone, nothing here
costs anything. `torchrun` starts the processes.
"""

import atexit
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as distributed
from accelerate import PartialState
from torch import Tensor, nn

Item = TypeVar("Item")


def join_others(is_cpu: bool) -> None:
    """Meet the other processes that torchrun started, if it did; gloo on CPUs, NCCL on GPUs."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        state = PartialState(cpu=is_cpu)
        # gloo's threads abort a process that ends while they still run.
        atexit.register(state.destroy_process_group)


def world() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def share(items: Sequence[Item]) -> list[Item]:
    """Those of the items that are this process's work."""
    return list(items[rank() :: world()])


def summed(part: Tensor) -> Tensor:
    """A tensor that each process filled in its share of, and left 0 elsewhere."""
    if world() > 1:
        distributed.all_reduce(part)
    return part


def summed_report(part: Mapping[str, float]) -> dict[str, float]:
    """Numbers by name, added over the processes; one without work may have none."""
    reports = _gathered(dict(part))
    names = dict.fromkeys(name for report in reports for name in report)
    return {name: sum(report.get(name, 0.0) for report in reports) for name in names}


def summed_number(part: float) -> float:
    """A number of which each process has a share."""
    return sum(_gathered(part))


def united(part: Mapping[Any, Item]) -> dict[Any, Item]:
    """What all processes found, by key."""
    return {key: value for found in _gathered(dict(part)) for key, value in found.items()}


def any_of(is_true: bool) -> bool:
    """Whether it is true for any process."""
    return any(_gathered(is_true))


@torch.no_grad()
def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give every process the sum of all gradients; a parameter that took no part counts 0."""
    if world() == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        distributed.all_reduce(parameter.grad)


def _gathered(own: Item) -> list[Item]:
    if world() == 1:
        return [own]
    found: list[Any] = [None] * world()
    distributed.all_gather_object(found, own)
    return found
