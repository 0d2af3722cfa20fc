"""The number of answers that a device can grow at the same time, from its free memory.

A decode step reads every weight once, whatever the number of rows, so few rows leave a GPU idle. On
a CPU, whose products are slow, the rows follow from the size of a micro-batch.
"""

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from rlhf_core.models.device import Compute

SHARE = 0.7
"""Share of the free memory that is used; the rest is for prefilled prompts, and for rows that are
copied as others end."""
LOGIT_BYTES = 24
"""Bytes a word of the vocabulary and row: logits, probabilities and their sums in fp32."""
MOST_ROWS = 1024
"""Largest number of rows; with more, arithmetic takes longer than reading the weights."""


@dataclass(frozen=True)
class RowBytes:
    """Memory that an answer takes while it grows."""

    per_token: int
    """Keys and values of a token in all layers."""
    fixed: int
    """The logits of the next token."""


def row_bytes(model: PreTrainedModel, itemsize: int) -> RowBytes:
    """Return the memory of one row.

    Args:
        model: A causal language model.
        itemsize: Bytes of a number in the cache.
    """
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    both = 2 * width
    if getattr(config, "qk_head_dim", None) is not None:  # keys and values differ in width
        both = config.qk_head_dim + config.v_head_dim
    return RowBytes(
        per_token=config.num_hidden_layers * heads * both * itemsize,
        fixed=LOGIT_BYTES * config.vocab_size,
    )


def rows_that_fit(free: int, row: RowBytes, length: int) -> int:
    """Return the number of rows that fit, a power of two, so that it seldom changes between runs.

    Args:
        free: Free bytes of the device.
        row: Memory of one row.
        length: Greatest length of a row in tokens, its prompt included.
    """
    rows = int(SHARE * free) // (length * row.per_token + row.fixed)
    return min(MOST_ROWS, 1 << (max(1, rows).bit_length() - 1))


def sampling_tokens(model: PreTrainedModel, compute: Compute, longest: int) -> int:
    """Return the budget of a batch of growing answers in tokens, as `sample` takes it.

    Args:
        model: The model that samples.
        compute: Device and precision.
        longest: Greatest length of an answer with its prompt.
    """
    if compute.device.type != "cuda":
        return compute.forward_tokens
    row = row_bytes(model, compute.dtype.itemsize)
    return longest * rows_that_fit(free_bytes(compute.device), row, longest)


def free_bytes(device: torch.device) -> int:
    """Return the free memory of a GPU, with what PyTorch holds for its next tensors."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
