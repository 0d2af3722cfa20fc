"""Frozen linear layers with weights of 4 bits: NF4 with double quantization (arXiv:2305.14314).

bitsandbytes quantises and dequantises. A weight is whole only while it is multiplied, forward and
again backward, so that neither the model nor a backward pass keeps it.
"""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from rlhf_core.errors import ConfigError

Self = TypeVar("Self", bound="QuantisedLinear")
MISSING = "policy.quantization: nf4 needs `pip install 'solon[qlora]'`"


def require_bitsandbytes() -> ModuleType:
    """Return the functions of bitsandbytes.

    Raises:
        ConfigError: If it is not installed.
    """
    try:
        functional: ModuleType = import_module("bitsandbytes").functional
    except ImportError as error:
        raise ConfigError(f"{MISSING} ({error})") from None
    return functional


class QuantisedLinear(nn.Linear):
    """A frozen linear layer, y = Q x + b, whose weight Q is rounded to 4 bits.

    Blocks of 64 weights share a scale, and blocks of 256 scales of 8 bits share another, which
    comes to 0.516 bytes a weight.

    Args:
        weight: The weight to round, (out, in), in the precision of the products.
        bias: The bias, (out,), or None.
        device: The device to hold it on.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, device: torch.device) -> None:
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        packed, self.state = require_bitsandbytes().quantize_4bit(
            weight.detach().to(device), compress_statistics=True, quant_type="nf4"
        )
        self.weight = nn.Parameter(packed, requires_grad=False)
        own = None if bias is None else nn.Parameter(bias.detach().to(device), False)
        self.register_parameter("bias", own)

    def forward(self, x: Tensor) -> Tensor:
        """Map (…, in) to (…, out), in the precision of the weight before it was rounded."""
        return _FrozenProduct.apply(x, self.weight, self.bias, self.state)

    def _apply(self: Self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        self.state.to(self.weight.device)
        return self


def is_quantised(model: nn.Module) -> bool:
    """Return True if a model has layers with weights of 4 bits."""
    return any(isinstance(module, QuantisedLinear) for module in model.modules())


def state_of(layer: nn.Module) -> Any:
    """Return what dequantises a linear layer's weight; None if it is whole."""
    return layer.state if isinstance(layer, QuantisedLinear) else None


def whole(weight: Tensor, state: Any) -> Tensor:
    """Return a weight as it is multiplied.

    Args:
        weight: Whole, or packed.
        state: From `state_of`.

    Returns:
        The weight, (out, in).
    """
    if state is None:
        return weight
    return cast(Tensor, require_bitsandbytes().dequantize_4bit(weight, state))


def precision(weight: Tensor, state: Any) -> torch.dtype:
    """Return the precision that a weight, whole or packed, is multiplied in."""
    return weight.dtype if state is None else cast(torch.dtype, state.dtype)


class _FrozenProduct(torch.autograd.Function):
    """x Qᵀ + b, (…, out)."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, packed: Tensor, bias: Tensor | None, state: Any
    ) -> Tensor:
        ctx.save_for_backward(packed)
        ctx.state = state  # type: ignore[attr-defined]
        with torch.autocast(x.device.type, enabled=False):
            return nn.functional.linear(x.to(state.dtype), whole(packed, state), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (packed,) = ctx.saved_tensors
        return gradients[0] @ whole(packed, ctx.state), None, None, None
