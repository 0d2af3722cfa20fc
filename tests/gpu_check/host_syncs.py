"""Counts how often the host waits for the device: reads of numbers, copies, masks made to indices.

On a CPU nothing waits, so tensors that follow from the model or from a batch count as the device's.
What the host sends to the device is not counted there.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from rlhf_core.models.sequences import Batch, TokenSequence
from rlhf_core.models.trunk import Role, Trunk

SHAPES_BY_DATA = ("nonzero", "masked_select", "repeat_interleave", "_unique2", "unique_dim")
"""Operations whose result's size the host has to know."""


class HostSyncs(TorchDispatchMode):
    """Counts inside the context, by kind of operation.

    Args:
        tensors: Tensors of the device, on a CPU.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self._storages: dict[int, torch.UntypedStorage] = {}
        """Those of the device by address; held, so that no address is used again."""
        for tensor in tensors:
            self.own(tensor)

    @property
    def total(self) -> int:
        return self.counts.total()

    def own(self, tensor: Tensor) -> None:
        """Count a tensor of the CPU as one of the device."""
        if tensor.device.type == "cpu" and tensor.numel():
            storage = tensor.untyped_storage()
            self._storages[storage.data_ptr()] = storage

    def is_on_device(self, tensor: Tensor) -> bool:
        if tensor.device.type != "cpu":
            return True
        return tensor.numel() > 0 and tensor.untyped_storage().data_ptr() in self._storages

    def read(self, tensor: Tensor) -> None:
        """Count a list made of a tensor."""
        self.counts["tolist"] += self.is_on_device(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> object:
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        are_owned = [self.is_on_device(tensor) for tensor in inputs]
        name = func.overloadpacket.__name__
        out = func(*args, **(kwargs or {}))
        if not any(are_owned):
            return out
        if name == "_local_scalar_dense":
            self.counts["item"] += 1
        elif self._has_data_shape(name, args):
            self.counts["mask"] += 1
        if self._is_copy_to_host(name, are_owned, out):
            self.counts["copy"] += 1
            return out
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.own(leaf)
        return out

    def _has_data_shape(self, name: str, args: Sequence[Any]) -> bool:
        if name in SHAPES_BY_DATA:
            return True
        if name not in ("index", "index_put_", "index_put"):
            return False
        has_mask = any(index is not None and index.dtype == torch.bool for index in args[1])
        return has_mask and (name == "index" or args[2].numel() > 1)

    def _is_copy_to_host(self, name: str, are_owned: Sequence[bool], out: object) -> bool:
        if name in ("copy_", "index_put_"):
            return not are_owned[0]
        is_host = isinstance(out, Tensor) and out.device.type == "cpu"
        return name == "_to_copy" and is_host and are_owned[0] and not self.is_on_cpu_only

    @property
    def is_on_cpu_only(self) -> bool:
        """True if the device is the CPU, where a copy to it is no copy from a device."""
        return bool(self._storages)


@contextmanager
def counted_syncs(trunk: Trunk, roles: Iterable[Role]) -> Iterator[HostSyncs]:
    """Count the syncs of what a trunk does inside the context.

    Args:
        trunk: The trunk.
        roles: Its trained roles, whose weights are on the device too.
    """
    trained = [parameter for role in roles for parameter in trunk.parameters(role)]
    syncs = HostSyncs([*trunk.language_model.parameters(), *trained])
    batch, tolist = Trunk.batch, Tensor.tolist

    def owned(self: Trunk, sequences: Sequence[TokenSequence]) -> Batch:
        made = batch(self, sequences)
        for value in vars(made).values():
            syncs.own(value)
        return made

    def counted(self: Tensor) -> Any:
        syncs.read(self)
        with _disable_current_modes():  # or its copy to the host would count again
            return tolist(self)

    with patch.object(Trunk, "batch", owned), patch.object(Tensor, "tolist", counted), syncs:
        yield syncs
