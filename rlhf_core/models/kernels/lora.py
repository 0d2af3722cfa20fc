"""A LoRA linear layer in the fewest passes over memory (arXiv:2106.09685, eq. 3).

PEFT casts the input to the adapter's precision and back, scales, and adds. Each is a pass over a
tensor as large as the layer's output, and together they take longer than the matrix products. Here
base and adapter share one buffer, forward and backward. tests/benchmarks/lora.py measures it.
"""

from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.lora import Linear
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from rlhf_core.identity import seed_from
from rlhf_core.models.kernels.nf4 import precision, state_of, whole


@dataclass
class AdapterSwitch:
    """The adapter that all layers of a model use: one assignment, where PEFT visits every layer."""

    name: str | None = None
    """None uses the base alone."""
    dropout_seed: int | None = None
    """Seed of the masks of all layers; None is without dropout."""


class AdapterDropout(nn.Module):
    """PEFT's dropout on an adapter's input, with a mask that follows from a seed and the layer.

    A pass that is repeated, as by gradient checkpointing or after a restart, drops the same.

    Args:
        share: Share of the inputs that are set to 0; the others are divided by 1 - share.
        number: Number of the layer.
        switch: Holds the seed; without one nothing is dropped.
    """

    def __init__(self, share: float, number: int, switch: AdapterSwitch) -> None:
        super().__init__()
        self.share, self.number, self.switch = share, number, switch

    @property
    def seed(self) -> int | None:
        """The seed of this layer's mask; None without dropout."""
        seed = self.switch.dropout_seed
        return None if seed is None else seed_from(seed, self.number)

    def forward(self, x: Tensor) -> Tensor:
        """Return the inputs with some of them dropped, in their shape."""
        return drop(x, self.share, self.seed)


def drop(x: Tensor, share: float, seed: int | None) -> Tensor:
    """Set a share of some numbers to 0 and divide the others by 1 - share.

    Args:
        x: The numbers, of any shape.
        share: Probability of each to be set to 0, below 1.
        seed: Seed of the mask; None drops nothing.

    Returns:
        The numbers that are left, in the shape of `x`; `x` itself without a seed.
    """
    if seed is None:
        return x
    generator = torch.Generator(x.device).manual_seed(seed)
    mask = torch.empty(x.shape, dtype=torch.bool, device=x.device)
    return x * mask.bernoulli_(1 - share, generator=generator) * (1 / (1 - share))


class FusedLinear(Linear):
    """PEFT's layer, with the common case fused: one active adapter, not merged."""

    switch: AdapterSwitch | None = None
    """Chooses the adapter instead of PEFT's own flags, which visit every layer of the model."""

    @property
    def sole_adapter(self) -> str | None:
        """The only active adapter; None if there is none, several, or a merged one."""
        if self.switch is not None:
            return None if self.merged else self.switch.name
        names = [name for name in self.active_adapters if name in self.lora_A]
        is_simple = not self.disable_adapters and not self.merged and len(names) == 1
        return names[0] if is_simple else None

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Map (…, in) to (…, out), in the precision of the base weights."""
        name = self.sole_adapter
        if name is None and self.switch is not None and not self.merged:
            return self.base_layer(x, *args, **kwargs)
        if name is None:
            return super().forward(x, *args, **kwargs)
        dropout = self.lora_dropout[name]
        is_dropping = isinstance(dropout, AdapterDropout)
        # A view made inside the product could not be modified in place, as Falcon does.
        product = _LoraProduct.apply(
            x,
            self.base_layer.weight,
            state_of(self.base_layer),
            self.base_layer.bias,
            self.lora_A[name].weight,
            self.lora_B[name].weight,
            self.scaling[name],
            dropout.share if is_dropping else 0.0,
            dropout.seed if is_dropping else None,
        )
        return product.view(*x.shape[:-1], -1)


def use_fused_linears(config: LoraConfig) -> LoraConfig:
    """Make PEFT use FusedLinear for every linear layer under a config, and return the config."""
    config._register_custom_module({nn.Linear: FusedLinear})
    return config


def rounded_factors(
    a: Tensor, b: Tensor, scaling: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return an adapter's factors A and s B in the precision of their products.

    Args:
        a: A, (rank, in).
        b: B, (out, rank).
        scaling: s.
        dtype: Precision of the base weights.
    """
    return a.to(dtype), (scaling * b).to(dtype)


class _LoraProduct(torch.autograd.Function):
    """x Wᵀ + b + s (drop(x) Aᵀ) Bᵀ, (rows, out). The base weights W and b are frozen.

    The backward pass draws the mask of the dropout again, since it is as large as the input, and
    dequantises a W of 4 bits again.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: Tensor,
        weight: Tensor,
        state: Any,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        scaling: float,
        share: float,
        seed: int | None,
    ) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            dtype = precision(weight, state)
            rows = x.to(dtype).reshape(-1, x.shape[-1])
            small_a, small_b = rounded_factors(a, b, scaling, dtype)
            inner = drop(rows, share, seed) @ small_a.T
            out = nn.functional.linear(rows, whole(weight, state), bias).addmm_(inner, small_b.T)
        ctx.save_for_backward(rows, weight, small_a, small_b, inner)
        ctx.scaling, ctx.shape = scaling, x.shape  # type: ignore[attr-defined]
        ctx.share, ctx.seed = share, seed  # type: ignore[attr-defined]
        ctx.state = state  # type: ignore[attr-defined]
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, small_a, small_b, inner = ctx.saved_tensors
        of_out = gradients[0]
        of_inner = of_out @ small_b
        of_a = (of_inner.T @ drop(rows, ctx.share, ctx.seed)).float()
        of_b = (of_out.T @ inner).float().mul_(ctx.scaling)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = of_out @ whole(weight, ctx.state)
            if ctx.seed is None:
                of_x.addmm_(of_inner, small_a)
            else:
                of_x += drop(of_inner @ small_a, ctx.share, ctx.seed)
            of_x = of_x.view(ctx.shape)
        return of_x, None, None, None, of_a, of_b, None, None, None
