"""Each of the CPU's own kernels alone: RMSNorm, and the packed linear layers of sampling."""

from collections.abc import Iterator

import torch
from peft import LoraConfig
from torch import nn
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from rlhf_core.models.device import Compute
from rlhf_core.models.kernels.lora import AdapterSwitch, FusedLinear
from rlhf_core.models.kernels.norm import speed_up_norms
from rlhf_core.models.kernels.packed import packed_linears
from tests.benchmarks.ratio import ratio
from tests.benchmarks.result import NotHereError, Result

WIDTH, INNER, RANK, TOKENS, TURNS = 576, 1536, 16, 2048, 20
ROWS = (8, 32, 128)


def run(compute: Compute) -> Iterator[Result]:
    """Measure the widths of the default policy: a training pass of the norm, and decode steps.

    Raises:
        NotHereError: On another device than a CPU, which has none of these kernels.
    """
    if compute.device.type != "cpu":
        raise NotHereError(f"needs a CPU, and this is {compute}")
    yield _norm(compute)
    for rows in ROWS:
        yield _packed(compute, rows)


def _norm(compute: Compute) -> Result:
    ours, plain = (LlamaRMSNorm(WIDTH).to(compute.dtype).requires_grad_(False) for _ in range(2))
    speed_up_norms(nn.ModuleList([ours]))  # type: ignore[arg-type]  # all it asks for is modules
    x = torch.randn(TOKENS, WIDTH, dtype=compute.dtype).requires_grad_()

    def work(norm: nn.Module) -> None:
        for _ in range(TURNS):
            norm(x).sum().backward()

    return ratio(
        "cpu_kernels",
        lambda: work(ours),
        "transformers' RMSNorm",
        lambda: work(plain),
        detail=f"norm, forward and backward, {TOKENS} tokens",
    )


@torch.no_grad()
def _packed(compute: Compute, rows: int) -> Result:
    base = nn.Linear(WIDTH, INNER, bias=False).to(compute.dtype).requires_grad_(False)
    layer = FusedLinear(base, "own", LoraConfig(r=RANK), r=RANK, lora_alpha=2 * RANK)
    layer.switch = AdapterSwitch("own")
    x = torch.randn(rows, WIDTH, dtype=compute.dtype)

    def plain() -> None:
        with compute.autocast():
            for _ in range(TURNS):
                FusedLinear.forward(layer, x)

    with compute.autocast(), packed_linears(nn.Sequential(layer)):
        forward = layer.forward

    def ours() -> None:
        with compute.autocast():
            for _ in range(TURNS):
                forward(x)

    return ratio(
        "cpu_kernels",
        ours,
        "without packing",
        plain,
        detail=f"packed layer with an adapter, {WIDTH} to {INNER}, {rows} rows",
    )
