"""A LoRA layer, forward and backward: ours against PEFT's own, on the same weights."""

import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from rlhf_core.models.device import Compute
from rlhf_core.models.kernels.lora import use_fused_linears
from tests.benchmarks.ratio import ratio
from tests.benchmarks.result import Result

ROWS, IN, OUT, RANK = 2048, 576, 1536, 16


def run(compute: Compute) -> list[Result]:
    """The widest layer of the default policy over a micro-batch of 2048 tokens."""
    works = []
    x = torch.randn(ROWS, IN, device=compute.device, dtype=compute.dtype).requires_grad_()
    for is_fused in (True, False):
        config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=["0"])
        base = nn.Sequential(nn.Linear(IN, OUT, bias=False)).to(compute.device, compute.dtype)
        net = get_peft_model(base, use_fused_linears(config) if is_fused else config)

        def work(net: nn.Module = net) -> None:
            with compute.autocast():
                out = net(x)
            out.sum().backward()

        works.append(work)
    ours, theirs = works
    return [ratio("lora", ours, "PEFT's layer", theirs, detail=f"{IN} to {OUT}, rank {RANK}")]
