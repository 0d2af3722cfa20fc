"""Linear layers for the many small products of sampling: on a CPU with packed weights.

Each new token is multiplied by every weight, and PyTorch packs a weight anew for each product. Here
weights are packed once. Base and adapter are one product, [x, x Aᵀ] [W, s B]ᵀ, summed in fp32: an
adapter merged into bf16 weights would lose most of a small update. Costs a second copy of the
weights. Where weights are not packed, as on a GPU, the adapter is rounded to the precision of the
products once, and not for every token.
"""

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from rlhf_core.distributed.sharding import is_sharded
from rlhf_core.models.kernels.lora import FusedLinear, rounded_factors
from rlhf_core.models.kernels.nf4 import is_quantised, precision, state_of, whole

MOST_BYTES = 2 * 2**30
"""Largest packed copy. A larger model keeps its layers: a fifth of time is not worth the memory."""
ROWS = 32
"""Number of rows that the packing is tuned for; it is correct for any number."""
X86 = ("x86_64", "AMD64")
Forward = Callable[[Tensor], Tensor]


@contextmanager
@torch.no_grad()
def packed_linears(model: nn.Module) -> Iterator[None]:
    """Use packed linear layers inside the context, for forward passes alone.

    On another device, with sharded layers or with weights of 4 bits only the adapters are rounded
    beforehand. The active adapter is packed or rounded at the start and must not change inside the
    context.
    """
    packed = _packed_forwards(model) if _is_worth_it(model) else _rounded_forwards(model)
    for module, forward in packed.items():
        module.forward = forward
    try:
        yield
    finally:
        for module in packed:
            del module.forward


def _is_worth_it(model: nn.Module) -> bool:
    """Return True if the CPU can pack weights of these precisions and the copy is small."""
    if is_sharded(model) or is_quantised(model) or platform.machine() not in X86:
        return False
    if not torch.backends.mkldnn.is_available():
        return False
    has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    possible = {torch.float32, torch.bfloat16} if has_bf16 else {torch.float32}
    parameters = list(model.parameters())
    size = sum(parameter.numel() * parameter.element_size() for parameter in parameters)
    is_possible = all(p.device.type == "cpu" and _precision(p) in possible for p in parameters)
    return is_possible and size <= MOST_BYTES


def _packed_forwards(model: nn.Module) -> dict[nn.Module, Forward]:
    """Return a faster forward pass for each linear layer of a known type.

    With one active adapter, base and adapter are packed as one. With several or none, only the base
    is packed.
    """
    packed: dict[nn.Module, Forward] = {}
    covered: set[nn.Module] = set()
    for module in model.modules():
        if isinstance(module, FusedLinear):
            # The adapters' factors are linear layers too, most of them of inactive roles.
            covered.update(module.lora_A.values(), module.lora_B.values())
            if module.sole_adapter is not None:
                packed[module] = _adapted_forward(module, module.sole_adapter)
                covered.add(module.base_layer)
        elif type(module) is nn.Linear and module not in covered and "forward" not in vars(module):
            packed[module] = _packed_product(module.weight, module.bias)
    return packed


def _rounded_forwards(model: nn.Module) -> dict[nn.Module, Forward]:
    """Return a forward pass with a rounded adapter for each layer with one active adapter."""
    return {
        module: _rounded_forward(module, module.sole_adapter)
        for module in model.modules()
        if isinstance(module, FusedLinear) and module.sole_adapter is not None
    }


def _rounded_forward(layer: FusedLinear, name: str) -> Forward:
    """Return the map of `FusedLinear`, equal to the bit, without rounding the adapter each time."""
    base = layer.get_base_layer()
    state = state_of(base)
    dtype = precision(cast(Tensor, base.weight), state)
    a, b = cast(Tensor, layer.lora_A[name].weight), cast(Tensor, layer.lora_B[name].weight)
    small_a, small_b = rounded_factors(a, b, layer.scaling[name], dtype)

    def forward(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            rows = x.to(dtype).reshape(-1, x.shape[-1])
            # The layer's own weight of the moment, which is gathered only now if it is sharded.
            weight, bias = cast(Tensor, base.weight), cast(Tensor | None, base.bias)
            weight = whole(weight, state)
            out = nn.functional.linear(rows, weight, bias)
            return out.addmm_(rows @ small_a.T, small_b.T).view(*x.shape[:-1], -1)

    return forward


def _adapted_forward(layer: FusedLinear, name: str) -> Forward:
    base = layer.get_base_layer()
    weight = cast(Tensor, base.weight)
    dtype = _precision(weight)
    up = (layer.scaling[name] * layer.lora_B[name].weight).to(dtype)
    down = cast(Tensor, layer.lora_A[name].weight).to(dtype)
    narrow = _packed_product(down, None)
    whole = _packed_product(
        torch.cat([weight.to(dtype), up], dim=1), cast(Tensor | None, base.bias)
    )
    return lambda x: whole(torch.cat([x.to(dtype), narrow(x)], dim=-1))


def _packed_product(weight: Tensor, bias: Tensor | None) -> Forward:
    """Return the map x Wᵀ + b with packed W."""
    dtype = _precision(weight)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().to(dtype), ROWS)
    bias = None if bias is None else bias.detach().to(dtype)

    def forward(x: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x.to(dtype), packed, bias, "none", [], "")
        return out

    return forward


def _precision(weight: Tensor) -> torch.dtype:
    """Return the precision of products with a weight: autocast's, or its own."""
    device = weight.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
