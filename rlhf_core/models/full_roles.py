"""Roles as separate models, of which all parameters are trained.

Weights are held in fp32, and autocast multiplies them in the compute precision. A role takes 4
bytes a parameter, and 12 more while it is trained: its gradient and AdamW's two moments. With
compute.shard each rank holds its share of all of them, and of the base.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf_core.distributed.sharding import reshard, shard_model
from rlhf_core.models.device import Compute
from rlhf_core.models.loading import load_language_model
from rlhf_core.models.roles import (
    HEADED,
    Fill,
    Role,
    Roles,
    checkpoint_layers,
    leave_as_it_is,
    round_parameters,
)
from rlhf_core.models.stored_weights import fill_shards, load_for_sharding, write_model


class FullRoles(Roles):
    """A model in fp32 for each role, beside a frozen base.

    Args:
        load: Loads the base in fp32, a new copy at each call; if it is to be sharded, perhaps
            without weights.
        compute: Device and precision.
        fill: Reads the weights of a model from `load` once it is sharded.
    """

    def __init__(
        self, load: Callable[[], PreTrainedModel], compute: Compute, fill: Fill = leave_as_it_is
    ) -> None:
        self._new, self._fill = load, fill
        self._compute = compute
        self._models: dict[Role, PreTrainedModel] = {}
        self.base = _round_linears(load(), compute.dtype).requires_grad_(False)
        self._shard(self.base, fill)

    @property
    def models(self) -> list[PreTrainedModel]:
        return [self.base, *self._models.values()]

    def add(self, role: Role) -> None:
        self._put(role, self._new(), self._fill)

    def copy(self, source: Role, target: Role) -> None:
        if not self._compute.shard:
            self._put(target, deepcopy(self._models[source]))
            return
        self.add(target)  # FSDP refuses deepcopy
        reshard(self._models[source])
        pairs = zip(
            self._models[target].parameters(), self._models[source].parameters(), strict=True
        )
        with torch.no_grad():
            for ours, theirs in pairs:
                ours.copy_(theirs)

    def remove(self, role: Role) -> None:
        del self._models[role]

    def parameters(self, role: Role) -> list[nn.Parameter]:
        model = self._models[role]
        reshard(model)
        return [parameter for parameter in model.parameters() if parameter.requires_grad]

    def weights(self, role: Role) -> dict[str, Tensor]:
        reshard(self._models[role])
        return dict(self._models[role].state_dict())

    @contextmanager
    def acting_as(self, role: Role) -> Iterator[PreTrainedModel]:
        model = self.model(role)
        # So hidden states pass through the layers in the compute precision, as in a model loaded
        # in it; autocast alone would leave them, and keys but not values, in fp32.
        hook = model.get_input_embeddings().register_forward_hook(self._in_precision)
        try:
            yield model
        finally:
            hook.remove()

    def dropout(self, seed: int) -> AbstractContextManager[None]:
        return nullcontext()

    def output_embedding(self, role: Role) -> nn.Linear:
        return cast(nn.Linear, self.model(role).get_output_embeddings())

    def write(self, role: Role, folder: Path, base: Path) -> None:
        """Save a role's model as transformers loads it; all ranks call this for a sharded one.

        Args:
            role: The role to save.
            folder: An existing folder.
            base: Not used, as the model needs no base.
        """
        write_model(self._models[role], folder)

    def read(self, role: Role, folder: Path) -> None:
        name = str(folder)
        if self._compute.shard:
            fill = partial(fill_shards, name=name, compute=self._compute)
            self._put(role, load_for_sharding(name, torch.float32), fill)
        else:
            compute = self._compute
            model = load_language_model(name, torch.float32, compute.device, compute.attention)
            self._put(role, model, leave_as_it_is)

    def merge(self, role: Role, dtype: torch.dtype | None = None) -> PreTrainedModel:
        """Return the role's model, in fp32 if no precision is named: no update is rounded away."""
        model = self.model(role)
        if dtype is not None:
            round_parameters(model, dtype)
        return model

    def model(self, role: Role) -> PreTrainedModel:
        return self.base if role is Role.REFERENCE else self._models[role]

    def _put(self, role: Role, model: PreTrainedModel, fill: Fill = leave_as_it_is) -> None:
        if self._compute.gradient_checkpointing:
            checkpoint_layers(model)
        if role in HEADED:
            _freeze_output(model)
        self._shard(model, fill)
        self._models[role] = model

    def _shard(self, model: PreTrainedModel, fill: Fill) -> None:
        if self._compute.shard:
            compute = self._compute
            shard_model(model, compute.device, compute.dtype, compute.replicas)
            fill(model)

    def _in_precision(
        self, module: nn.Module, inputs: tuple[Tensor, ...], states: Tensor
    ) -> Tensor:
        return states.to(self._compute.dtype)


def _freeze_output(model: PreTrainedModel) -> None:
    """Freeze an output embedding that is not the input's: a role with a head never uses it."""
    output, inputs = model.get_output_embeddings(), model.get_input_embeddings()
    if output.weight is not inputs.weight:
        output.requires_grad_(False)


def _round_linears(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """Round the weights that autocast would round at every use, and return the model.

    Its outputs stay equal to the bit, in half the memory. Not for weights that are trained.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear) and dtype != torch.float32:
            # New parameters, so that an input embedding tied to the output keeps its precision.
            for name, parameter in list(module.named_parameters(recurse=False)):
                setattr(module, name, nn.Parameter(parameter.to(dtype)))
    return model
