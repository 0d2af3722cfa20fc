"""Memory that a training takes on one device, by arithmetic from the model's config.

Weights, gradients and moments are exact. Activations are estimates for layers of the usual form
(attention, gated feed-forward), of which a backward pass keeps about 24 H + 8 I bytes a token in
half precision: inputs of the two norms in fp32, of the products in half precision. H is the width,
I that of the feed-forward part.
"""

from dataclasses import dataclass
from typing import Any

import psutil
import torch
from accelerate import init_empty_weights
from torch import nn
from transformers import AutoModelForCausalLM

from rlhf_core.models.loading import read_config

WEIGHT, TRAINED = 4, 16
"""Bytes a parameter of a role: its weight in fp32; and with its gradient and AdamW's moments."""
HALF = 2
QUANTISED = 1 / 2 + 1 / 64 + 4 / (64 * 256)
"""Bytes of a weight of 4 bits: a scale of a byte for 64 of them, one in fp32 for 256 scales
(arXiv:2305.14314, section 3)."""
LOGIT_ROWS, LOGIT_COPIES = 256, 3
"""Tokens whose logits are in memory at once, in fp32: the logits, their softmax, its gradient."""


@dataclass(frozen=True)
class ModelSize:
    """The sizes of a model that its memory depends on."""

    parameters: int
    outside_layers: int
    """Parameters of the embeddings and of what else is outside the layers."""
    layers: int
    width: int
    feed_forward: int
    """Width of the feed-forward part of a layer."""
    vocabulary: int
    lora_width: int
    """Parameters of an adapter for each unit of its rank."""
    quantisable: int = 0
    """Parameters of the linear layers but the output embedding."""


@dataclass(frozen=True)
class TrainedRoles:
    """The roles of a training: one trained or more, and others that are only read."""

    trained: int
    read: int = 0
    averages: int = 0
    """Further copies of a trained role, such as its moving average."""


@dataclass(frozen=True)
class TrainingMemory:
    """The settings that decide how much memory a training takes."""

    lora_rank: int | None
    """None trains all weights."""
    tokens: int
    """Tokens of a micro-batch."""
    is_checkpointed: bool
    ranks: int = 1
    """Ranks that the model is sharded over."""
    is_half: bool = True
    """True if matrices are multiplied in half precision."""
    is_quantised: bool = False
    """True if the frozen model under the adapters is held in 4 bits."""


def model_size(name: str, targets: tuple[str, ...] | None = None) -> ModelSize:
    """Return the sizes of a model, from its config.

    Args:
        name: A bundled name, a folder or a hub id.
        targets: Layers with an adapter, by the last part of their names; None is all linear ones.

    Raises:
        ModelNotFoundError: If the config is missing or inconsistent.
    """
    config = read_config(name)
    with init_empty_weights(include_buffers=False):
        model: Any = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    model.tie_weights()
    text = config.get_text_config()
    linears = [
        (name.rpartition(".")[2], layer)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and layer is not model.get_output_embeddings()
    ]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    within = sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if any(part.isdecimal() for part in name.split("."))
    )
    return ModelSize(
        parameters=parameters,
        outside_layers=parameters - within,
        layers=text.num_hidden_layers,
        width=text.hidden_size,
        feed_forward=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        vocabulary=text.vocab_size,
        lora_width=sum(
            layer.in_features + layer.out_features
            for name, layer in linears
            if targets is None or name in targets
        ),
        quantisable=sum(layer.weight.numel() for _, layer in linears),
    )


def bytes_needed(size: ModelSize, roles: TrainedRoles, training: TrainingMemory) -> int:
    """Return the bytes that a training takes on each device.

    Args:
        size: Sizes of the model.
        roles: The roles of the training beside the frozen base.
        training: Settings of the training.

    Returns:
        Weights, gradients, moments, and what a micro-batch keeps. Sampling fills what is free. Not
        counted are the few hundred megabytes of the CUDA context and of fragmentation.
    """
    return held_bytes(size, roles, training) + _activations(size, training)


def held_bytes(size: ModelSize, roles: TrainedRoles, training: TrainingMemory) -> int:
    """Return the bytes of weights, gradients and moments on each device.

    Args:
        size: Sizes of the model.
        roles: The roles of the training beside the frozen base.
        training: Settings of the training.
    """
    a_role = roles.trained * TRAINED + (roles.read + roles.averages) * WEIGHT
    bytes_a_weight = HALF if training.is_half else WEIGHT
    base = size.parameters * bytes_a_weight
    if training.is_quantised:
        # The largest layer is whole while it is multiplied.
        largest = size.width * size.feed_forward * bytes_a_weight
        base = int(base - size.quantisable * (bytes_a_weight - QUANTISED)) + largest
    if training.lora_rank is not None:
        whole, replicated = base, a_role * training.lora_rank * size.lora_width
    else:
        whole, replicated = base + a_role * size.parameters, 0
    if training.ranks == 1:
        return whole + replicated
    # Two layers are gathered at once, the second while the first computes, and the embeddings.
    bytes_each = HALF if training.lora_rank is not None and training.is_half else WEIGHT
    layer = (size.parameters - size.outside_layers) // size.layers
    gathered = (2 * layer + size.outside_layers) * bytes_each
    return -(-whole // training.ranks) + replicated + gathered


def _activations(size: ModelSize, training: TrainingMemory) -> int:
    """Return the bytes that a micro-batch keeps for its backward pass."""
    layer = 24 * size.width + 8 * size.feed_forward
    kept = (
        HALF * size.width * size.layers + layer if training.is_checkpointed else layer * size.layers
    )
    a_token = kept if training.is_half else 2 * kept
    logits = LOGIT_ROWS * size.vocabulary * WEIGHT * LOGIT_COPIES
    return a_token * training.tokens + logits


def device_bytes(device: torch.device, sharers: int) -> int:
    """Return the memory of a device, or the share of one of several processes in the machine's.

    Args:
        device: A GPU, or the CPU.
        sharers: Number of processes on this machine, which share the memory of the CPU.
    """
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return int(psutil.virtual_memory().total) // sharers
