"""FlexAttention for rows that several answers share: blocks that no token may see are left out.

A block mask lists, for each block of queries, the blocks of keys that it sees in part and in whole.
It is made from branches and positions alone, so no (B, T, T) exists. On a GPU one kernel is
compiled for all shapes. FlexAttention does not train on a CPU, so there the blocks are spread into
a dense mask. All other passes, such as sampling, use PyTorch's attention.
"""

import logging
from functools import cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from rlhf_core.models.kernels.branches import PADDING_BRANCH, PROMPT_BRANCH

logger = logging.getLogger(__name__)

FLEX = "solon_flex"
BLOCK = 128
"""Tokens of a block of queries, and of keys: what the kernels are tuned for."""
LEAST_HEAD_DIM = 16
"""Width of the narrowest heads that the compiled kernel reads."""
KERNELS = 64
"""Most kernels that are compiled: one for each combination of precision, one row or more, one block
or more, and with or without a backward pass, for each model."""
AFTER_ALL = torch.iinfo(torch.int32).max
"""Takes the place of PADDING_BRANCH, so that the branches of a row ascend. No larger, because
padding by it passes through a floating-point number."""


def branch_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | BlockMask | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Return scaled dot-product attention under a block mask, or under any mask of PyTorch's.

    Args:
        module: The attention layer.
        query: Q, (B, heads, T, D).
        key: K, (B, key heads, S, D); heads is a multiple of key heads, which are not repeated.
        value: V, (B, key heads, S, W).
        attention_mask: A block mask, then S is T; or what PyTorch's attention takes.
        scaling: Factor of the scores; None is 1/√D.
        kwargs: Arguments of other implementations; architecture.py makes sure that none matters.

    Returns:
        The attended values, (B, T, heads, W), and None for the weights.
    """
    if not isinstance(attention_mask, BlockMask):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **kwargs
        )
    kind = query.device.type
    if torch.is_autocast_enabled(kind):  # which FlexAttention does not obey by itself
        dtype = torch.get_autocast_dtype(kind)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    if kind == "cpu":
        _say_that_it_is_slow()
        seen = dense_mask(attention_mask)
        return sdpa_attention_forward(module, query, key, value, seen, scaling=scaling)
    attended = block_attention(query, key, value, attention_mask, scaling)
    return attended.transpose(1, 2).contiguous(), None


def block_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: BlockMask,
    scaling: float | None,
    backend: str = "inductor",
) -> Tensor:
    """Return FlexAttention under a block mask, (B, heads, T, W).

    Args:
        query: Q, (B, heads, T, D).
        key: K, (B, key heads, T, D).
        value: V, (B, key heads, T, W), all three of one precision.
        mask: The mask, (B, 1, T, T).
        scaling: Factor of the scores; None is 1/√D.
        backend: What compiles it; eager runs its graph as it is, without a backward pass on a CPU.
    """
    attended = _compiled(backend)(
        query,
        key,
        value,
        block_mask=mask,
        scale=scaling,
        enable_gqa=True,
        # Without this, rows shorter than a block get another kernel, for decoding.
        kernel_options={"FORCE_USE_FLEX_ATTENTION": True},
    )
    return cast(Tensor, attended)


@cache
def _compiled(backend: str) -> Any:
    """Return FlexAttention compiled for any shape."""
    # A whole graph raises an error beyond the limit. Otherwise eager mode would take over, and fill
    # the memory with scores.
    config = cast(Any, torch)._dynamo.config
    config.recompile_limit = max(config.recompile_limit, KERNELS)
    return torch.compile(flex_attention, backend=backend, dynamic=True, fullgraph=True)


@cache
def _say_that_it_is_slow() -> None:
    logger.warning(
        "compute.attention = flex has no kernel for training on a CPU, so every layer computes all "
        "scores under a dense mask, which is slow and only meant for tests; use auto"
    )


def block_mask(
    branches: Tensor, positions: Tensor, window: int | None, block: int = BLOCK
) -> BlockMask:
    """Return the mask of shared rows: a token sees the prompt and its own branch up to itself.

    Args:
        branches: Branch of each token, (B, T): the prompt's, then those of the answers in ascending
            order, then padding, which sees only padding.
        positions: Position of each token in its own text, (B, T).
        window: Tokens that a token sees, itself included; None is all.
        block: Tokens of a block.

    Returns:
        The mask, (B, 1, T, T), as lists of blocks: ⌈T / block⌉² numbers a row.
    """
    # A tensor, because a number would be compiled into a kernel of its own.
    oldest = torch.full_like(positions, -1) if window is None else positions - window

    def sees(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        own, other = branches[row, query], branches[row, key]
        is_related = (other == own) | ((other == PROMPT_BRANCH) & (own != PADDING_BRANCH))
        return (key <= query) & is_related & (positions[row, key] > oldest[row, query])

    some, every = _seen_blocks(branches, positions, oldest, block)
    length = branches.shape[1]
    return BlockMask.from_kv_blocks(
        *_as_lists(some & ~every),
        *_as_lists(every),
        BLOCK_SIZE=block,
        mask_mod=sees,
        seq_lengths=(length, length),
    )


def _seen_blocks(
    branches: Tensor, positions: Tensor, oldest: Tensor, block: int
) -> tuple[Tensor, Tensor]:
    """Return which blocks of keys each block of queries may see in part, and sees in whole.

    Args:
        branches: As in `block_mask`, (B, T).
        positions: As in `block_mask`, (B, T).
        oldest: The position below those that a token sees, (B, T).
        block: Tokens of a block.

    Returns:
        Two masks, (B, n, n) for n blocks; the first is also true where the second is.
    """
    ascending = branches.masked_fill(branches == PADDING_BRANCH, AFTER_ALL)
    first, last = _extremes(ascending, block, AFTER_ALL)
    nearest, farthest = _extremes(positions, block, 0)
    least_old, most_old = _extremes(oldest, block, -1)
    queries, keys = (slice(None), slice(None), None), (slice(None), None, slice(None))
    is_text = last[queries] < AFTER_ALL  # no token of the block is padding
    may_relate = (last[keys] >= first[queries]) | (
        (first[keys] == PROMPT_BRANCH) & (first[queries] < AFTER_ALL)
    )
    may_reach = farthest[keys] > least_old[queries]
    is_one = (first[keys] == last[keys]) & (first[queries] == last[queries])
    relates = ((last[keys] == PROMPT_BRANCH) & is_text) | (is_one & (first[keys] == first[queries]))
    reaches = nearest[keys] > most_old[queries]
    count = first.shape[1]
    is_before = torch.ones(count, count, dtype=torch.bool, device=branches.device).tril(-1)
    itself = torch.eye(count, dtype=torch.bool, device=branches.device)
    return (is_before & may_relate & may_reach) | itself, is_before & relates & reaches


def _extremes(values: Tensor, block: int, fill: int) -> tuple[Tensor, Tensor]:
    """Return least and largest value of each block, (B, n); `fill` is added to the last one."""
    missing = -values.shape[1] % block
    blocks = F.pad(values, (0, missing), value=fill).unflatten(1, (-1, block))
    return blocks.amin(dim=2), blocks.amax(dim=2)


def dense_mask(mask: BlockMask) -> Tensor:
    """Return where a mask of `block_mask` lets a token look, (B, 1, T, T), read as kernels do."""
    rows, _, length, _ = mask.shape
    assert mask.full_kv_num_blocks is not None
    assert mask.full_kv_indices is not None
    some = _spread(mask.kv_num_blocks, mask.kv_indices, mask.BLOCK_SIZE[0])
    every = _spread(mask.full_kv_num_blocks, mask.full_kv_indices, mask.BLOCK_SIZE[0])
    row, place = (torch.arange(count, device=some.device) for count in (rows, length))
    sees = mask.mask_mod(row[:, None, None, None], row[:1], place[:, None], place)
    return every[..., :length, :length] | (some[..., :length, :length] & sees)


def _spread(counts: Tensor, places: Tensor, block: int) -> Tensor:
    """Return the tokens of listed blocks, (B, 1, n · block, n · block); see `_as_lists`."""
    is_listed = torch.arange(places.shape[-1], device=places.device) < counts[..., None]
    blocks = torch.zeros_like(is_listed).scatter(-1, places.long(), is_listed)
    return blocks.repeat_interleave(block, dim=-1).repeat_interleave(block, dim=-2)


def _as_lists(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many blocks of each row are true, (B, 1, n), and their places first, (B, 1, n, n).

    Args:
        blocks: (B, n, n).
    """
    chosen = blocks[:, None].int()
    places = torch.argsort(chosen, dim=-1, descending=True, stable=True)
    return chosen.sum(dim=-1, dtype=torch.int32), places.int()


AttentionInterface.register(FLEX, branch_attention)
AttentionMaskInterface.register(FLEX, sdpa_mask)
