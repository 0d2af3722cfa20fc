"""The peak of the memory that some work takes, on a GPU or a CPU."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Live(TorchDispatchMode):
    """Counts the bytes of the tensors that operations made and that are still there, on a CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.storages: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        place = storage.data_ptr()
        if place in self.storages:
            return
        self.storages.add(place)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, place, storage.nbytes())

    def _forget(self, place: int, size: int) -> None:
        self.storages.discard(place)
        self.now -= size


def peak_bytes(device: torch.device, work: Callable[[], object]) -> int:
    """Return by how much the memory of a device grew at most."""
    if device.type == "cpu":
        with _Live() as live:
            work()
        return live.peak
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    work()
    return torch.cuda.max_memory_allocated(device) - before
