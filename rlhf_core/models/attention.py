"""Attention for short sequences on a CPU: grouped queries without copying keys and values.

transformers repeats each key head for its group of queries, and PyTorch's CPU kernel has a slow
backward pass. Folding the group into the query length needs neither; tests/benchmarks/attention.py
holds the measurement. Memory grows with the square of the length, so GPUs keep their own kernels.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

GROUPED = "solon_grouped"


def grouped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    **kwargs: object,
) -> tuple[Tensor, None]:
    """Scaled dot-product attention, as transformers calls it.

    Args:
        module: The attention layer; not used.
        query: (B, heads, T, D).
        key: (B, key heads, S, D); heads is a multiple of key heads.
        value: (B, key heads, S, D).
        attention_mask: Added to the scores, (B, 1, T, S).
        scaling: Of the scores.
        kwargs: Of other implementations.

    Returns:
        (B, T, heads, D), and no weights.
    """
    batch, heads, length, width = query.shape
    key_heads, source = key.shape[1:3]
    folded = query.reshape(batch, key_heads, -1, width)
    scores = (folded @ key.transpose(2, 3)).float() * scaling
    if attention_mask is not None:
        by_group = scores.view(batch, key_heads, -1, length, source) + attention_mask[:, :, None]
        scores = by_group.view(scores.shape)
    weights = torch.softmax(scores, dim=-1).to(value.dtype)
    attended = (weights @ value).view(batch, heads, length, width)
    return attended.transpose(1, 2).contiguous(), None


def attention_implementation(device: torch.device) -> str:
    """The name to load a model with."""
    return GROUPED if device.type == "cpu" else "sdpa"


@contextmanager
def forward_only(model: PreTrainedModel) -> Iterator[None]:
    """PyTorch's own attention within: without a backward pass it is the faster one everywhere.

    Not for what a training pass is compared with: the two round differently.
    """
    former = model.config._attn_implementation
    model.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        model.set_attn_implementation(former)


AttentionInterface.register(GROUPED, grouped_attention)
AttentionMaskInterface.register(GROUPED, eager_mask)
