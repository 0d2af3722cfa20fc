"""Attention for short sequences on a CPU: grouped queries without copying keys and values.

transformers repeats each key head for its group of queries, and PyTorch's CPU kernel has a slow
backward pass. Folding the group into the query length avoids both; tests/benchmarks/attention.py
measures it. Memory grows with the square of the length, so GPUs use PyTorch's kernels.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

from rlhf_core.config.compute import Attention
from rlhf_core.models.kernels.flex import FLEX

GROUPED = "solon_grouped"


def grouped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: object,
) -> tuple[Tensor, None]:
    """Return scaled dot-product attention, with the signature that transformers calls.

    Softmax(s Q Kᵀ + mask) V (arXiv:1706.03762, eq. 1), with grouped queries (arXiv:2305.13245).

    Args:
        module: The attention layer; not used.
        query: Q, (B, heads, T, D).
        key: K, (B, key heads, S, D); heads is a multiple of key heads.
        value: V, (B, key heads, S, W); W is D in most models.
        attention_mask: Added to the scores, (B, 1, T, S), or None.
        scaling: s; None is 1/√D.
        kwargs: Arguments of other implementations; architecture.py makes sure that none matters.

    Returns:
        The attended values, (B, T, heads, W), and None for the weights.
    """
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    return _GroupedAttention.apply(query, key, value, attention_mask, scaling), None


class _GroupedAttention(torch.autograd.Function):
    """softmax(s Q Kᵀ + mask) V in few passes, keeping one tensor as large as the scores."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        scaling: float,
    ) -> Tensor:
        batch, heads, length, width = query.shape
        key_heads, source = key.shape[1:3]
        of_value = value.shape[-1]
        with torch.autocast(query.device.type, enabled=False):
            folded = (scaling * query).reshape(batch, key_heads, -1, width)
            scores = folded @ key.transpose(2, 3)
            if mask is not None:
                scores.view(batch, key_heads, -1, length, source).add_(mask[:, :, None])
            weights = torch.softmax(scores, dim=-1)  # inside, the kernel is in fp32
            attended = (weights @ value).view(batch, heads, length, of_value)
        ctx.save_for_backward(folded, key, value, weights)
        ctx.scaling = scaling  # type: ignore[attr-defined]
        return attended.transpose(1, 2).contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        folded, key, value, weights = ctx.saved_tensors
        batch, length, heads, of_out_width = gradients[0].shape
        width = folded.shape[-1]
        of_out = gradients[0].transpose(1, 2).reshape(*folded.shape[:3], of_out_width)
        of_value = weights.transpose(2, 3) @ of_out
        of_weights = of_out @ value.transpose(2, 3)
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        of_query = (of_scores @ key).mul_(ctx.scaling).view(batch, heads, length, width)
        of_key = of_scores.transpose(2, 3) @ folded
        return of_query, of_key, of_value, None, None


def attention_implementation(device: torch.device, attention: Attention = "auto") -> str:
    """Return the name of the attention implementation for models on a device.

    Args:
        device: The device.
        attention: The setting `compute.attention`.
    """
    if attention == "flex":
        return FLEX
    return GROUPED if device.type == "cpu" and attention == "auto" else "sdpa"


@contextmanager
def forward_only(model: PreTrainedModel) -> Iterator[None]:
    """Use PyTorch's attention inside the context: without a backward pass it is always faster.

    Not for outputs that are compared with a training pass: the two round differently.
    """
    former = model.config._attn_implementation
    if former != GROUPED or not model._supports_sdpa:  # a model that keeps its own attention
        yield
        return
    model.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        model.set_attn_implementation(former)


AttentionInterface.register(GROUPED, grouped_attention)
AttentionMaskInterface.register(GROUPED, eager_mask)
