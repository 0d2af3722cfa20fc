"""Several processes that train as one: each takes its share of every batch, and sums meet.

Every process runs the same loop over the same data in the same order. Losses are divided by counts
of the whole step, so the sum of all gradients is the gradient of one process. Alone, nothing here
costs anything. `torchrun` starts the processes; who leads them is in together.py.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as distributed
from torch import Tensor, nn

from rlhf_core.distributed.launch import processes
from rlhf_core.errors import LostProcessError

Item = TypeVar("Item")
STRAGGLING = timedelta(hours=2)
"""How long processes that compute wait for the slowest of them."""
PATIENCE = timedelta(days=365)
"""How long they wait for what the first one asks of others, such as remote judges: as good as ever.
A process that ends is noticed at once, whatever the limit."""

_patient: list[distributed.ProcessGroup] = []
_is_alone = False


def join_others() -> None:
    """Meet the other processes that torchrun started, if it did.

    Tensors on GPUs meet through NCCL, all else through gloo.
    """
    if processes() == 1 or distributed.is_initialized():
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, timeout=STRAGGLING)
    _patient.append(distributed.new_group(backend="gloo", timeout=PATIENCE))


def leave_others() -> None:
    """Part from them; all do it at the same time.

    gloo's threads would abort a process that ends while they still run.
    """
    _patient.clear()
    if distributed.is_initialized():
        distributed.destroy_process_group()


@contextmanager
def alone(is_alone: bool = True) -> Iterator[None]:
    """Within it this process works for itself, as if there were no other; or no longer."""
    global _is_alone
    before, _is_alone = _is_alone, is_alone
    try:
        yield
    finally:
        _is_alone = before


def world() -> int:
    """How many processes work together."""
    return distributed.get_world_size() if distributed.is_initialized() and not _is_alone else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return distributed.get_rank() if world() > 1 else 0


def share(items: Sequence[Item]) -> list[Item]:
    """Those of the items that are this process's work."""
    return list(items[rank() :: world()])


def of_first(find: Callable[[], Item]) -> Item:
    """What the first process finds, alone, for all; the others wait for it, be it for days."""
    if world() == 1:
        return find()
    told: list[Any] = [None]
    if rank() == 0:
        with alone():
            told = [find()]
    with _meeting():
        distributed.broadcast_object_list(told, src=0, group=_patient[0])
    return told[0]


def summed(part: Tensor) -> Tensor:
    """A tensor that each process filled in its share of, and left 0 elsewhere."""
    if world() > 1:
        with _meeting():
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


def largest(own: int) -> int:
    """The largest of the numbers that the processes have."""
    number = torch.tensor(own)
    if world() > 1:
        with _meeting():
            distributed.all_reduce(number, distributed.ReduceOp.MAX)
    return int(number)


@torch.no_grad()
def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give every process the sum of all gradients; a parameter that took no part counts 0."""
    if world() == 1:
        return
    with _meeting():
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)


def _gathered(own: Item) -> list[Item]:
    if world() == 1:
        return [own]
    found: list[Any] = [None] * world()
    with _meeting():
        distributed.all_gather_object(found, own)
    return found


@contextmanager
def _meeting() -> Iterator[None]:
    """Say what it means where PyTorch says that a connection is gone."""
    try:
        yield
    except RuntimeError as error:
        raise LostProcessError(
            "another process ended, and this one with it; what it said tells why "
            f"({str(error).splitlines()[0].split('. ')[0]})"
        ) from None
