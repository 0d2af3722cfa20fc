"""Linear layers of a CPU with their weights laid out once, for the many small products of sampling.

A token a row meets every weight, and PyTorch lays a weight out anew for each product. Here that is
done before, and base and adapter are one product, [x, x Aᵀ] [W, s B]ᵀ, summed in fp32: an adapter
merged into bf16 weights would lose most of a small update. Costs a second copy of the weights.
"""

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from rlhf_core.distributed.sharding import is_sharded
from rlhf_core.models.kernels.lora import FusedLinear

MOST_BYTES = 2 * 2**30
"""Of the copy. A larger model keeps its layers: memory is worth more there than a fifth of time."""
ROWS = 32
"""The layout is best for about so many rows, and right for all."""
X86 = ("x86_64", "AMD64")
Forward = Callable[[Tensor], Tensor]


@contextmanager
@torch.no_grad()
def packed_linears(model: nn.Module) -> Iterator[None]:
    """Faster linear layers within, for forward passes alone.

    A model on another device keeps its own, and so does one whose layers lie in shards. What acts
    at the start acts throughout: adapters must not change within.
    """
    packed = _linears(model) if _is_worth_it(model) else {}
    for module, forward in packed.items():
        module.forward = forward
    try:
        yield
    finally:
        for module in packed:
            del module.forward


def _is_worth_it(model: nn.Module) -> bool:
    """Whether the processor has the products, in these precisions, and memory the room."""
    if is_sharded(model) or platform.machine() not in X86:
        return False
    if not torch.backends.mkldnn.is_available():
        return False
    has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    possible = {torch.float32, torch.bfloat16} if has_bf16 else {torch.float32}
    parameters = list(model.parameters())
    size = sum(parameter.numel() * parameter.element_size() for parameter in parameters)
    is_possible = all(p.device.type == "cpu" and _precision(p) in possible for p in parameters)
    return is_possible and size <= MOST_BYTES


def _linears(model: nn.Module) -> dict[nn.Module, Forward]:
    """Of those layers whose forward pass is known, a faster one; an adapted one includes its base.

    Where several adapters act, or none, what is packed is the base alone.
    """
    found: dict[nn.Module, Forward] = {}
    covered: set[nn.Module] = set()
    for module in model.modules():
        if isinstance(module, FusedLinear):
            # Factors are linear layers too, of roles at rest most of them.
            covered.update(module.lora_A.values(), module.lora_B.values())
            if module.sole_adapter is not None:
                found[module] = _adapted(module, module.sole_adapter)
                covered.add(module.base_layer)
        elif type(module) is nn.Linear and module not in covered and "forward" not in vars(module):
            found[module] = _product(module.weight, module.bias)
    return found


def _adapted(layer: FusedLinear, name: str) -> Forward:
    base = layer.get_base_layer()
    weight = cast(Tensor, base.weight)
    dtype = _precision(weight)
    up = (layer.scaling[name] * layer.lora_B[name].weight).to(dtype)
    down = cast(Tensor, layer.lora_A[name].weight).to(dtype)
    narrow = _product(down, None)
    whole = _product(torch.cat([weight.to(dtype), up], dim=1), cast(Tensor | None, base.bias))
    return lambda x: whole(torch.cat([x.to(dtype), narrow(x)], dim=-1))


def _product(weight: Tensor, bias: Tensor | None) -> Forward:
    """The map x Wᵀ + b."""
    dtype = _precision(weight)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().to(dtype), ROWS)
    bias = None if bias is None else bias.detach().to(dtype)

    def forward(x: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x.to(dtype), packed, bias, "none", [], "")
        return out

    return forward


def _precision(weight: Tensor) -> torch.dtype:
    """That of products with it: what autocast asks for, or its own."""
    device = weight.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
