"""The fused LoRA layer compared with PEFT's on the same weights."""

from collections.abc import Iterator

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from rlhf_core.models.kernels.lora import FusedLinear, use_fused_linears


class Net(nn.Module):
    def __init__(self, has_bias: bool) -> None:
        super().__init__()
        self.first = nn.Linear(6, 10, bias=has_bias)
        self.second = nn.Linear(10, 5, bias=has_bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).relu())


def adapted(is_fused: bool, has_bias: bool) -> nn.Module:
    torch.manual_seed(1)
    config = LoraConfig(r=3, lora_alpha=6, target_modules=["first", "second"])
    net = get_peft_model(Net(has_bias), use_fused_linears(config) if is_fused else config, "one")
    net.add_adapter("two", config)
    generator = torch.Generator().manual_seed(2)
    for name, parameter in net.named_parameters():
        if "lora" in name:
            nn.init.normal_(parameter, generator=generator)
    return net


def gradients(net: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for name, parameter in net.named_parameters():
        if parameter.grad is not None:
            yield name, parameter.grad


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("adapter", ["one", "two"])
def test_output_and_every_gradient_are_those_of_peft(adapter: str, has_bias: bool):
    ours, theirs = adapted(True, has_bias), adapted(False, has_bias)
    assert isinstance(ours.base_model.model.first, FusedLinear)
    found = []
    for net in (ours, theirs):
        net.set_adapter(adapter)
        x = torch.linspace(-1, 1, 24).view(2, 2, 6).requires_grad_()
        out = net(x)
        out.square().sum().backward()
        found.append((out, x.grad, dict(gradients(net))))
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)  # rounding of sums
    assert all(adapter in name for name in found[0][2])


def test_adapters_off_are_the_base_to_the_bit():
    net = adapted(True, has_bias=True)
    x = torch.randn(4, 6)
    with net.disable_adapter():
        off = net(x)
    torch.manual_seed(1)
    assert torch.equal(off, Net(has_bias=True)(x))


def test_merged_layers_answer_alike():
    net = adapted(True, has_bias=True)
    x = torch.randn(4, 6)
    before = net(x)
    torch.testing.assert_close(net.merge_and_unload()(x), before, atol=1e-5, rtol=1e-5)
