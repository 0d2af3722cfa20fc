"""The roles that a language model acts in, and the interface to their weights.

adapter_roles.py holds them as adapters on one frozen model, full_roles.py as separate models.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from rlhf_core.errors import ModelNotFoundError


class Role(StrEnum):
    REFERENCE = "reference"
    SFT = "sft"
    POLICY = "policy"
    CRITIC = "critic"
    REWARD = "reward"
    CHAMPION = "champion"
    RELOADED = "reloaded"
    """A role that was just saved, read back for comparison."""


HEADED = (Role.CRITIC, Role.REWARD)
"""Roles that cannot work without their head. A policy's head is the shared critic's and is not
saved: the policy's answers do not depend on it."""


Fill = Callable[[PreTrainedModel], None]
"""Reads the weights of a model that was sharded without any."""


def leave_as_it_is(model: PreTrainedModel) -> None:
    """Do nothing with a model that has its weights already."""


class Roles(ABC):
    """Weights by role. The reference is the base itself; trained parameters are in fp32."""

    base: PreTrainedModel
    """Frozen, never trained."""

    @property
    @abstractmethod
    def models(self) -> list[PreTrainedModel]:
        """The models that the roles act on, the base among them."""

    @abstractmethod
    def model(self, role: Role) -> PreTrainedModel | None:
        """Return the model that is a role's own; None if it is an adapter on the base."""

    @abstractmethod
    def add(self, role: Role) -> None:
        """Add a new role, which answers as the base does."""

    @abstractmethod
    def copy(self, source: Role, target: Role) -> None:
        """Add a role with the weights of another."""

    @abstractmethod
    def remove(self, role: Role) -> None:
        """Remove a role and its weights."""

    @abstractmethod
    def parameters(self, role: Role) -> list[nn.Parameter]:
        """Return the trained parameters of a role."""

    @abstractmethod
    def weights(self, role: Role) -> dict[str, Tensor]:
        """Return the weights of a role by the names that they are saved under."""

    @abstractmethod
    def acting_as(self, role: Role) -> AbstractContextManager[PreTrainedModel]:
        """Yield the language model in that role, in evaluation mode, so without its own dropout."""

    @abstractmethod
    def dropout(self, seed: int) -> AbstractContextManager[None]:
        """Let the adapters drop out inside the context, by their own share; others never do.

        Args:
            seed: Seed of all masks. The context holds the backward pass as well, which draws them
                again.
        """

    @abstractmethod
    def output_embedding(self, role: Role) -> nn.Linear:
        """Return the layer by which a role maps hidden states to logits."""

    @abstractmethod
    def write(self, role: Role, folder: Path, base: Path) -> None:
        """Save a role's weights in a form that plain PEFT or transformers loads.

        Args:
            role: The role to save.
            folder: An existing folder.
            base: Folder of the base, for roles that cannot work without it.
        """

    @abstractmethod
    def read(self, role: Role, folder: Path) -> None:
        """Add a role with the weights that were saved in a folder."""

    @abstractmethod
    def merge(self, role: Role, dtype: torch.dtype | None = None) -> PreTrainedModel:
        """Return a role as a plain model. No role can be used afterwards.

        All ranks call this for a sharded base. The result may be sharded as well; if it is not, it
        is complete on rank 0.

        Args:
            role: The role to merge.
            dtype: Precision to round to, once; None is that of the role's kind.
        """


def round_parameters(model: nn.Module, dtype: torch.dtype) -> None:
    """Round a model's parameters in place, but not its buffers.

    `model.to(dtype)` would also round the rotary frequencies, which are buffers.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)


def checkpoint_layers(model: PreTrainedModel) -> None:
    """Make the backward pass recompute the activations inside each layer.

    transformers' own switch does not serve: it needs training mode and disables the cache. In
    training mode some layers drop out, and without the cache sampling sees only the last token.

    Raises:
        ModelNotFoundError: If the architecture has no layers that can be recomputed.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, GradientCheckpointingLayer)]
    if not layers:
        raise ModelNotFoundError(
            f"architecture {model.config.model_type!r} has no layers that can be recomputed; "
            "set compute.gradient_checkpointing to false"
        )
    for layer in layers:
        layer.forward = MethodType(_checkpointed_forward, layer)


def _checkpointed_forward(layer: nn.Module, *arguments: Any, **options: Any) -> Any:
    forward = partial(type(layer).forward, layer)
    if not torch.is_grad_enabled():
        return forward(*arguments, **options)
    return checkpoint(forward, *arguments, use_reentrant=False, preserve_rng_state=False, **options)
