"""The roles a language model acts in, and what every way to hold their weights can do.

adapter_roles.py holds them as adapters on one frozen model, full_roles.py as models of their own.
"""

from abc import ABC, abstractmethod
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
    """A role just saved, read back to be compared."""


class Roles(ABC):
    """Weights by role. The reference is the base itself; what is trained is in fp32."""

    base: PreTrainedModel
    """Frozen, never trained."""

    @abstractmethod
    def add(self, role: Role) -> None:
        """A fresh role, which says what the base says."""

    @abstractmethod
    def copy(self, source: Role, target: Role) -> None:
        """A new role with the weights of another."""

    @abstractmethod
    def remove(self, role: Role) -> None:
        """Forget a role and its weights."""

    @abstractmethod
    def parameters(self, role: Role) -> list[nn.Parameter]:
        """What is trained of a role."""

    @abstractmethod
    def weights(self, role: Role) -> dict[str, Tensor]:
        """The same by the names they are saved under."""

    @abstractmethod
    def acting_as(self, role: Role) -> AbstractContextManager[PreTrainedModel]:
        """The language model in that role, within; in evaluation mode, so without dropout."""

    @abstractmethod
    def output_embedding(self, role: Role) -> nn.Linear:
        """What a role reads its logits off hidden states with."""

    @abstractmethod
    def write(self, role: Role, folder: Path, base: Path) -> None:
        """Save a role's weights in a form that plain peft or transformers loads.

        Args:
            role: Which.
            folder: Where to; it is there.
            base: The base's own folder, for roles that are nothing without it.
        """

    @abstractmethod
    def read(self, role: Role, folder: Path) -> None:
        """A new role with the weights that were saved in a folder."""

    @abstractmethod
    def merged(self, role: Role) -> PreTrainedModel:
        """The plain model that a role amounts to. All roles are used up by it."""


def round_parameters(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Not `model.to(dtype)`: that would round the rotary frequencies, which are buffers."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)


def checkpoint_layers(model: PreTrainedModel) -> None:
    """Have a backward pass compute again what is inside each layer.

    Not by transformers' switch, which asks for training mode and takes the cache away: in training
    mode some layers drop out, and without its cache sampling sees the last token alone.

    Raises:
        ModelNotFoundError: If the architecture has no such layers.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, GradientCheckpointingLayer)]
    if not layers:
        raise ModelNotFoundError(
            f"architecture {model.config.model_type!r} has no layers that can be computed again; "
            "set compute.gradient_checkpointing to false"
        )
    for layer in layers:
        layer.forward = MethodType(_checkpointed, layer)


def _checkpointed(layer: nn.Module, *arguments: Any, **options: Any) -> Any:
    forward = partial(type(layer).forward, layer)
    if not torch.is_grad_enabled():
        return forward(*arguments, **options)
    return checkpoint(forward, *arguments, use_reentrant=False, preserve_rng_state=False, **options)
