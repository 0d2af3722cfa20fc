"""The adapters that are trained: their rank, scale and dropout, and the layers that have one."""

import json
from dataclasses import dataclass
from pathlib import Path

from rlhf_core.config.policy import PolicySettings
from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models.adapter_files import ADAPTER_CONFIG

ALL_LINEAR = "all-linear"
"""PEFT's name for every linear layer but the output embedding."""


@dataclass(frozen=True)
class LoraShape:
    """The shape of an adapter W + (alpha / rank) · B A."""

    rank: int
    alpha: float | None = None
    """Numerator of the scale; None is twice the rank."""
    targets: tuple[str, ...] | None = None
    """Last parts of the names of the layers with an adapter; None is every linear layer."""
    dropout: float = 0.0
    """Share of an adapter's inputs that are set to 0 where a training says so."""
    quantization: str | None = None
    """Precision of the frozen model, nf4; None is the compute precision."""

    @property
    def scale_alpha(self) -> float:
        return 2.0 * self.rank if self.alpha is None else self.alpha

    @property
    def target_modules(self) -> str | list[str]:
        """The targets as PEFT takes them."""
        return ALL_LINEAR if self.targets is None else sorted(self.targets)


def trained_lora(settings: PolicySettings) -> LoraShape | None:
    """Return the shape of the adapters that a config trains; None for full weights."""
    if settings.lora_rank is None:
        return None
    return LoraShape(
        settings.lora_rank,
        settings.lora_alpha,
        settings.lora_targets,
        settings.lora_dropout,
        settings.quantization,
    )


def shape_of(lora: int | LoraShape | None) -> LoraShape | None:
    """Return the shape that a bare rank stands for; a shape or None as it is."""
    return LoraShape(lora) if isinstance(lora, int) else lora


def stored_shape(folder: Path) -> LoraShape:
    """Return the shape of the adapter in a folder.

    Raises:
        ModelNotFoundError: If its config is not one of a LoRA adapter that Solon can train.
    """
    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    targets = config["target_modules"]
    if isinstance(targets, str) and targets != ALL_LINEAR:
        raise ModelNotFoundError(
            f"adapter {str(folder)!r}: its target_modules {targets!r} are a pattern and no list of "
            "layers; name the adapter as policy.model, which merges it"
        )
    names = None if targets == ALL_LINEAR else tuple(sorted(targets))
    return LoraShape(int(config["r"]), float(config["lora_alpha"]), names)


def require_scale(folder: Path, shape: LoraShape) -> None:
    """Refuse an adapter whose rank or scale is not the trained ones', so that it answers otherwise.

    Args:
        folder: Folder of the adapter.
        shape: The shape of the trained adapters.

    Raises:
        ModelNotFoundError: If rank or alpha differ.
    """
    stored = stored_shape(folder)
    if (stored.rank, stored.scale_alpha) != (shape.rank, shape.scale_alpha):
        raise ModelNotFoundError(
            f"adapter {str(folder)!r} has rank {stored.rank} and alpha {stored.scale_alpha:g}, and "
            f"the settings say {shape.rank} and {shape.scale_alpha:g}; set policy.lora_rank and "
            "policy.lora_alpha to the adapter's"
        )
