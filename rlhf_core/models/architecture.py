"""The attention that an architecture needs, found by forward passes with a recorder in its place.

transformers passes to attention whatever the architecture uses: sinks, soft caps, biases. Solon's
own attention and PyTorch's support none of these, so a model that uses any of them keeps
transformers' eager attention. Some architectures pass a prepared mask on to their layers, with or
without a sliding window, and others do not. If the mask does not arrive as the model's own mask
would, each answer gets a row of its own. The same holds for the block masks of FlexAttention.
"""

import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

from rlhf_core.config.compute import Attention
from rlhf_core.errors import ConfigError
from rlhf_core.models.kernels.attention import attention_implementation
from rlhf_core.models.kernels.flex import FLEX, LEAST_HEAD_DIM, block_mask, dense_mask
from rlhf_core.models.sequences import Batch, TokenSequence, collate

logger = logging.getLogger(__name__)

RECORDER = "solon_recorder"
FULL, SLIDING = "full_attention", "sliding_attention"
KNOWN_ARGUMENTS = {"dropout", "sliding_window", "position_ids", "use_cache", "is_causal"}
"""Arguments that any attention may ignore: windows and causality are in the mask, dropout is off in
evaluation mode, and the others are passed along unread."""
PROBE = (TokenSequence((1, 2, 3), (4, 5, 6)), TokenSequence((1, 2, 3), (7, 8)))
PROBE_WINDOW = 2
"""Tokens; shorter than the probe, so that the window shows in its masks."""

Mask = Tensor | BlockMask
Windows = dict[str, int | None]
"""Number of tokens that a layer of each type attends to, itself included; None means all."""


@dataclass(frozen=True)
class _AttentionCall:
    """The arguments that one attention layer was called with."""

    query: Tensor
    mask: Mask | None
    width: int
    """Width of a head, of its query or its value, whichever is narrower."""
    arguments: frozenset[str]
    """Names of the other arguments that are set and not in KNOWN_ARGUMENTS."""


_calls: ContextVar[list[_AttentionCall]] = ContextVar("calls of the recorder")


def fit_attention(
    model: PreTrainedModel, device: torch.device, attention: Attention = "auto"
) -> None:
    """Switch a model to an attention that computes the same as its own.

    Args:
        model: Loaded with eager attention, in evaluation mode.
        device: The device it will compute on.
        attention: The setting `compute.attention`; auto is the fastest.

    Raises:
        ConfigError: If another attention than auto is named, and the model cannot compute with it.
    """
    name = attention_implementation(device, attention)
    reason = _why_only_its_own(model, name)
    if reason is None:
        model.set_attn_implementation(name)
    elif attention == "auto":
        _log_once(model.config.model_type, f"{reason}, so that is used")
    else:
        _refuse_attention(model, attention, reason)


def _refuse_attention(model: PreTrainedModel, attention: Attention, reason: str) -> NoReturn:
    """Refuse a setting `compute.attention` that does not fit a model.

    Raises:
        ConfigError: With the reason.
    """
    raise ConfigError(
        f"compute.attention = {attention!r} does not fit architecture "
        f"{model.config.model_type!r}: {reason}; use auto"
    )


def _why_only_its_own(model: PreTrainedModel, name: str) -> str | None:
    """Return why a model computes only with the attention that it has, in words; None if not so."""
    if not model._can_set_attn_implementation():
        return "its attention is its own code"
    ids = torch.tensor([PROBE[0].prompt_ids], device=model.device)
    calls = _record(model, input_ids=ids)
    unknown = {argument for call in calls for argument in call.arguments}
    if unknown:
        return (
            f"its attention takes {', '.join(sorted(unknown))}, which only the eager attention of "
            "transformers computes"
        )
    if name == "sdpa" and not model._supports_sdpa:
        return "transformers has only eager attention for it"
    narrowest = min((call.width for call in calls), default=LEAST_HEAD_DIM)
    if name == FLEX and model.device.type != "cpu" and narrowest < LEAST_HEAD_DIM:
        return f"its heads are {narrowest} wide, and FlexAttention reads {LEAST_HEAD_DIM} or more"
    return None


def shared_windows(model: PreTrainedModel) -> Windows | None:
    """Return the window of each type of layer if answers to one prompt may share a row.

    Returns:
        None if they may not: the model does not pass a prepared mask on to its layers, or ignores
        the positions that it is given.

    Raises:
        ConfigError: If they may not, and the model has FlexAttention, which is for such rows.
    """
    reason = _why_not_shared(model)
    if reason is None:
        return _windows(model)
    if _reads_blocks(model):
        _refuse_attention(model, "flex", reason)
    _log_once(
        model.config.model_type,
        f"{reason}, so each answer gets a row of its own, as with compute.share_prompts off",
    )
    return None


def position_arguments(model: PreTrainedModel, positions: Tensor) -> dict[str, Tensor]:
    """Return the positions, (B, T), as model arguments; none for a model that counts by itself."""
    return {"position_ids": positions} if _takes_positions(model) else {}


def _takes_positions(model: PreTrainedModel) -> bool:
    return "position_ids" in inspect.signature(model.base_model.forward).parameters


def shared_masks(
    model: PreTrainedModel, batch: Batch, windows: Windows, dtype: torch.dtype
) -> Mask | dict[str, Mask]:
    """Return the mask of rows that may hold several answers, in the form of the model's attention.

    Args:
        model: Has the attention from `fit_attention`.
        batch: The rows.
        windows: The windows from `shared_windows`.
        dtype: Precision of an additive mask.

    Returns:
        One mask, or one for each type of layer, (B, 1, T, T): of blocks for FlexAttention. Any
        other is added to the scores: 0 where a token may look, the least number of the precision
        elsewhere.
    """
    if _reads_blocks(model):
        masks: dict[str, Mask] = {
            name: block_mask(batch.branches, batch.position_ids, window)
            for name, window in windows.items()
        }
    else:
        masks = {
            name: torch.zeros_like(batch.visible, dtype=dtype).masked_fill_(
                ~batch.visible_within(window), torch.finfo(dtype).min
            )
            for name, window in windows.items()
        }
    return masks if len(masks) > 1 else next(iter(masks.values()))


def _reads_blocks(model: PreTrainedModel) -> bool:
    return bool(model.config._attn_implementation == FLEX)


def _windows(model: PreTrainedModel) -> Windows:
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    types = getattr(config, "layer_types", None)
    if types is None:
        types = [FULL if window is None else SLIDING]
    return {name: window if name == SLIDING else None for name in dict.fromkeys(types)}


def _why_not_shared(model: PreTrainedModel) -> str | None:
    """Return the reason why answers may not share a row, in words; None if they may."""
    if not _takes_positions(model):
        return "it accepts no positions"
    if not model._can_set_attn_implementation():
        return "its attention is its own code"
    if set(_windows(model)) - {FULL, SLIDING}:
        return f"it has layers of the types {', '.join(_windows(model))}"
    with _narrow_window(model):
        return _why_masks_differ(model, _windows(model))


def _why_masks_differ(model: PreTrainedModel, windows: Windows) -> str | None:
    """Compare the masks that the layers receive with those of a plain pass."""
    alone, shared = (collate(list(some), 0, model.device) for some in (PROBE[:1], PROBE))
    plain = _record(model, input_ids=alone.input_ids, attention_mask=alone.real.long())
    moved = shared.position_ids * 2
    form = "mask of blocks" if _reads_blocks(model) else "prepared mask"
    try:
        given, elsewhere = (
            _record(
                model,
                input_ids=shared.input_ids,
                attention_mask=shared_masks(model, shared, windows, model.dtype),
                position_ids=positions,
            )
            for positions in (shared.position_ids, moved)
        )
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
        return f"it accepts no {form}"  # however an unknown model fails on one
    if len(plain) != len(given) or not plain:
        return f"it accepts no {form}"
    for own, ours in zip(plain, given, strict=True):
        fitting = [
            window for window in windows.values() if _shows(own, alone.visible_within(window))
        ]
        if not fitting or not _shows(ours, shared.visible_within(fitting[0])):
            return f"its layers do not use a {form} as they use their own"
    if all(
        torch.equal(one.query, other.query) for one, other in zip(given, elsewhere, strict=True)
    ):
        return "it ignores the positions that it is given"
    return None


def _shows(call: _AttentionCall, visible: Tensor) -> bool:
    """Return True if the layer could look exactly where `visible`, (B, 1, T, T), is true."""
    if isinstance(call.mask, BlockMask):
        return torch.equal(dense_mask(call.mask), visible)
    return call.mask is not None and torch.equal(call.mask == 0, visible)


@contextmanager
def _narrow_window(model: PreTrainedModel) -> Iterator[None]:
    """Narrow the model's sliding window, if it has one, below the probe inside the context."""
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if window is None:
        yield
        return
    config.sliding_window = PROBE_WINDOW
    try:
        yield
    finally:
        config.sliding_window = window


@torch.no_grad()
def _record(model: PreTrainedModel, **inputs: object) -> list[_AttentionCall]:
    """Return the arguments of each attention layer in one forward pass, in order."""
    former = model.config._attn_implementation
    token = _calls.set([])
    model.set_attn_implementation(RECORDER)
    try:
        model.base_model(**inputs, use_cache=False)
        return _calls.get()
    finally:
        model.set_attn_implementation(former)
        _calls.reset(token)


def _recorder(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Mask | None,
    scaling: float | None = None,
    **kwargs: object,
) -> tuple[Tensor, None]:
    """Record the call and return zeros."""
    unknown = {
        name for name, given in kwargs.items() if given is not None and name not in KNOWN_ARGUMENTS
    }
    width = min(query.shape[-1], value.shape[-1])
    _calls.get().append(_AttentionCall(query, attention_mask, width, frozenset(unknown)))
    batch, heads, length, _ = query.shape
    return query.new_zeros(batch, length, heads, value.shape[-1]), None


@cache
def _log_once(architecture: str, what: str) -> None:
    """Log a note on an architecture, once a process."""
    logger.info("architecture %r: %s", architecture, what)


AttentionInterface.register(RECORDER, _recorder)
AttentionMaskInterface.register(RECORDER, eager_mask)
