"""Packed linear layers compared with the layers themselves."""

from dataclasses import replace

import pytest
import torch
from peft import LoraConfig

from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.kernels import packed
from rlhf_core.models.kernels.lora import FusedLinear
from rlhf_core.models.kernels.packed import packed_linears
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32

IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])


def with_policy(trunk: Trunk) -> Trunk:
    """Return a trunk with two roles, of which one is far from its initial weights."""
    trunk.add_role(Role.REWARD, seed=1)
    trunk.add_role(Role.POLICY, seed=2)
    generator = torch.Generator().manual_seed(1)
    for parameter in trunk.parameters(Role.POLICY):
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return trunk


@torch.no_grad()
def logits(trunk: Trunk, role: Role) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the logits of the plain layers, and of the packed layers."""
    with trunk.acting_as(role) as model:
        plain = model(IDS).logits
        with packed_linears(model):
            return plain, model(IDS).logits


@pytest.mark.parametrize("role", [Role.REFERENCE, Role.POLICY])
def test_logits_of_every_role_are_those_of_the_layers(trunk: Trunk, role: Role):
    plain, within = logits(with_policy(trunk), role)
    torch.testing.assert_close(within, plain, atol=1e-5, rtol=1e-5)


def test_the_policy_is_another_model_than_the_reference(trunk: Trunk):
    """Otherwise the test above would pass without any adapter."""
    trunk = with_policy(trunk)
    reference, policy = (logits(trunk, role)[1] for role in (Role.REFERENCE, Role.POLICY))
    assert (reference - policy).abs().max() > 1


def test_an_update_too_small_for_bf16_weights_still_acts():
    """1 + 2⁻¹⁰ is 1 in bf16, so merging would lose the update; x sums to 0, so only it shows."""
    base = torch.nn.Linear(2, 1, bias=False).to(torch.bfloat16).requires_grad_(False)
    layer = FusedLinear(base, "one", LoraConfig(r=1, lora_alpha=1), r=1, lora_alpha=1)
    torch.nn.init.ones_(base.weight)
    layer.lora_A["one"].weight.data = torch.tensor([[1.0, 0.0]])
    torch.nn.init.constant_(layer.lora_B["one"].weight, 2**-10)
    x = torch.tensor([[1.0, -1.0]], dtype=torch.bfloat16)
    with packed_linears(torch.nn.Sequential(layer)), torch.no_grad():
        assert layer(x).item() == 2**-10


def test_weights_in_fp32_multiply_in_what_autocast_asks_for():
    """A fully trained model holds its weights in fp32, whose products are far slower."""
    layer = torch.nn.Linear(3, 2)
    x = torch.ones(1, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        plain = layer(x)
        with packed_linears(torch.nn.Sequential(layer)):
            within = layer(x)
    assert within.dtype == torch.bfloat16
    torch.testing.assert_close(within, plain)


def test_layers_are_their_own_again_afterwards(trunk: Trunk):
    model = with_policy(trunk).language_model
    linears = [m for m in model.modules() if isinstance(m, FusedLinear | torch.nn.Linear)]
    with packed_linears(model):
        assert any("forward" in vars(linear) for linear in linears)
    assert not any("forward" in vars(linear) for linear in linears)


def test_a_large_model_keeps_its_layers(trunk: Trunk, monkeypatch: pytest.MonkeyPatch):
    """The copy of a 7B model would be 14 GB."""
    size = sum(p.numel() * p.element_size() for p in trunk.language_model.parameters())
    linears = [m for m in trunk.language_model.modules() if isinstance(m, torch.nn.Linear)]
    for most, is_packed in ((size, True), (size - 1, False)):
        monkeypatch.setattr(packed, "MOST_BYTES", most)
        with packed_linears(trunk.language_model):
            assert all(("forward" in vars(linear)) == is_packed for linear in linears)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("role", [Role.REFERENCE, Role.POLICY])
def test_where_nothing_is_packed_the_adapter_is_rounded_once(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, role: Role
):
    """As on a GPU: the same logits to the bit, by other forward passes if there is an adapter."""
    monkeypatch.setattr(packed, "_is_worth_it", lambda model: False)
    trunk = with_policy(open_trunk("tiny-random", replace(FP32, dtype=dtype), 4))
    with trunk.acting_as(role) as model, trunk.compute.autocast(), torch.no_grad():
        plain = model(IDS).logits
        with packed_linears(model):
            layers = [m for m in model.modules() if isinstance(m, FusedLinear)]
            assert all(("forward" in vars(m)) == (role is Role.POLICY) for m in layers)
            assert torch.equal(model(IDS).logits, plain)
