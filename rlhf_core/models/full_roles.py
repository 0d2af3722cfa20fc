"""Roles as separate models, of which all parameters are trained.

Weights are held in fp32, and autocast multiplies them in the compute precision. A role takes 4
bytes a parameter, and 12 more while it is trained: its gradient and AdamW's two moments.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf_core.models.device import Compute
from rlhf_core.models.loading import load_language_model
from rlhf_core.models.roles import Role, Roles, checkpoint_layers


class FullRoles(Roles):
    """A model in fp32 for each role, beside a frozen base.

    Args:
        load: Loads the base in fp32, a new copy at each call.
        compute: Device and precision.
    """

    def __init__(self, load: Callable[[], PreTrainedModel], compute: Compute) -> None:
        self._new = load
        self._compute = compute
        self._models: dict[Role, PreTrainedModel] = {}
        self.base = _round_linears(load(), compute.dtype).requires_grad_(False)

    def add(self, role: Role) -> None:
        self._put(role, self._new())

    def copy(self, source: Role, target: Role) -> None:
        self._put(target, deepcopy(self._models[source]))

    def remove(self, role: Role) -> None:
        del self._models[role]

    def parameters(self, role: Role) -> list[nn.Parameter]:
        return list(self._models[role].parameters())

    def weights(self, role: Role) -> dict[str, Tensor]:
        return dict(self._models[role].state_dict())

    @contextmanager
    def acting_as(self, role: Role) -> Iterator[PreTrainedModel]:
        model = self._model(role)
        # So hidden states pass through the layers in the compute precision, as in a model loaded
        # in it; autocast alone would leave them, and keys but not values, in fp32.
        hook = model.get_input_embeddings().register_forward_hook(self._in_precision)
        try:
            yield model
        finally:
            hook.remove()

    def output_embedding(self, role: Role) -> nn.Linear:
        return cast(nn.Linear, self._model(role).get_output_embeddings())

    def write(self, role: Role, folder: Path, base: Path) -> None:
        """Save a role's model as transformers loads it.

        Args:
            role: The role to save.
            folder: An existing folder.
            base: Not used, as the model needs no base.
        """
        self._models[role].save_pretrained(folder)

    def read(self, role: Role, folder: Path) -> None:
        self._put(role, load_language_model(str(folder), torch.float32, self._compute.device))

    def merge(self, role: Role) -> PreTrainedModel:
        """Return the role's model in fp32, so that no small update is rounded away."""
        return self._model(role)

    def _model(self, role: Role) -> PreTrainedModel:
        return self.base if role is Role.REFERENCE else self._models[role]

    def _put(self, role: Role, model: PreTrainedModel) -> None:
        if self._compute.gradient_checkpointing:
            checkpoint_layers(model)
        self._models[role] = model

    def _in_precision(
        self, module: nn.Module, inputs: tuple[Tensor, ...], states: Tensor
    ) -> Tensor:
        return states.to(self._compute.dtype)


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
