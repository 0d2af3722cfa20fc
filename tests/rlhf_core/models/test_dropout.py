"""Dropout of the adapters: masks that follow from a seed, in training alone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from rlhf_core.algorithms.online import train_online
from rlhf_core.algorithms.sft import accumulate_likelihood
from rlhf_core.config.training import PPOSettings
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.models.artifacts import new_roles, open_trunk, save_role
from rlhf_core.models.device import Compute
from rlhf_core.models.kernels.lora import (
    AdapterDropout,
    AdapterSwitch,
    FusedLinear,
    drop,
    use_fused_linears,
)
from rlhf_core.models.loading import load_language_model
from rlhf_core.models.lora_shape import LoraShape
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32
from tests.gpu_check.box import stir
from tests.rlhf_core.algorithms.planted import share_of_low

SHARE = 0.3
SHAPE = LoraShape(4, dropout=SHARE)
TEXTS = [TokenSequence((5, 6, 7), (8, 9, 2)), TokenSequence((10,), (11, 12, 2))]


def test_as_many_are_dropped_as_asked_and_the_sum_is_kept():
    """Of 10^6 draws with probability 0.3 the share deviates by 0.00046."""
    dropped = drop(torch.ones(1000, 1000), SHARE, seed=3)
    assert (dropped == 0).float().mean().item() == pytest.approx(SHARE, abs=0.002)
    kept = dropped[dropped != 0]
    assert torch.equal(kept, torch.full_like(kept, 1 / (1 - SHARE)))
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.003)


def test_a_seed_gives_one_mask_and_none_gives_all():
    x = torch.randn(20, 30)
    assert torch.equal(drop(x, SHARE, 1), drop(x, SHARE, 1))
    assert not torch.equal(drop(x, SHARE, 1), drop(x, SHARE, 2))
    assert drop(x, SHARE, None) is x


class _SameMask(nn.Module):
    """In place of the dropout of PEFT's layer: the mask of ours."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask


@pytest.mark.parametrize("has_bias", [True, False])
def test_output_and_gradients_are_those_of_peft_under_the_same_mask(has_bias: bool):
    found = []
    for is_fused in (True, False):
        torch.manual_seed(1)
        config = LoraConfig(r=3, lora_alpha=6, target_modules=["0"], lora_dropout=SHARE)
        net: Any = nn.Sequential(nn.Linear(6, 5, bias=has_bias))
        net = get_peft_model(net, use_fused_linears(config) if is_fused else config, "own")
        layer = net.base_model.model[0]
        assert isinstance(layer, FusedLinear) is is_fused
        nn.init.normal_(layer.lora_B["own"].weight)
        ours = AdapterDropout(SHARE, 0, AdapterSwitch("own", dropout_seed=7))
        mask = ours(torch.ones(4, 6))
        assert 0 < (mask == 0).sum() < mask.numel()
        layer.lora_dropout["own"] = ours if is_fused else _SameMask(mask.view(2, 2, 6))
        x = torch.linspace(-1, 1, 24).view(2, 2, 6).requires_grad_()
        out = net(x)
        out.square().sum().backward()
        weights = (layer.lora_A["own"].weight, layer.lora_B["own"].weight)
        found.append((out, x.grad, *(weight.grad for weight in weights)))
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)  # rounding of sums


def opened(compute: Compute = FP32, lora: LoraShape = SHAPE) -> Trunk:
    """Return a trunk of two roles with adapters that change its answers."""
    trunk = open_trunk("tiny-random", compute, lora)
    for seed, role in enumerate((Role.POLICY, Role.SFT)):
        trunk.add_role(role, seed)
        stir(trunk, role, seed, scale=0.3)
    return trunk


def gradients(trunk: Trunk, seed: int | None) -> tuple[float, list[Tensor]]:
    loss = accumulate_likelihood(trunk, Role.POLICY, TEXTS, dropout_seed=seed)
    found = [parameter.grad for parameter in trunk.parameters(Role.POLICY)]
    trunk.language_model.zero_grad()
    assert all(gradient is not None for gradient in found)
    return loss, [gradient for gradient in found if gradient is not None]


def test_a_training_step_drops_out_only_with_a_seed():
    trunk, plain = opened(), opened(lora=LoraShape(4))
    loss, without = gradients(trunk, None)
    assert (loss, [g.tolist() for g in without]) == _listed(gradients(plain, None))
    assert _listed(gradients(trunk, 1)) == _listed(gradients(trunk, 1))
    assert len({gradients(trunk, seed)[0] for seed in (None, 1, 2)}) == 3
    assert gradients(trunk, None)[0] == loss


def _listed(found: tuple[float, list[Tensor]]) -> tuple[float, list[list[float]]]:
    return found[0], [gradient.tolist() for gradient in found[1]]


def test_scores_and_answers_are_without_dropout_right_after_a_step():
    trunk, plain = opened(), opened(lora=LoraShape(4))
    gradients(trunk, 1)
    with torch.no_grad():
        for role in (Role.REFERENCE, Role.POLICY, Role.SFT):
            batch = trunk.batch(TEXTS)
            found, expected = (each.token_logprobs(role, batch, 1.0) for each in (trunk, plain))
            assert torch.equal(found, expected)


def test_recomputed_activations_drop_the_same():
    found = [gradients(opened(replace(FP32, gradient_checkpointing=on)), 1) for on in (False, True)]
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=1e-5)
    assert found[0][0] != gradients(opened(), None)[0]


def test_every_layer_microbatch_and_rank_has_a_mask_of_its_own(monkeypatch: pytest.MonkeyPatch):
    trunk = opened()
    named = trunk.language_model.named_modules()
    layers = [module for name, module in named if name.endswith("lora_dropout.policy")]
    seeds: list[int | None] = []
    for number in (0, 1):
        monkeypatch.setattr("rlhf_core.models.trunk.rank", lambda number=number: number)
        for microbatch in (0, 1):
            with trunk.dropout(1, microbatch):
                seeds += [layer.seed for layer in layers]
    assert len(set(seeds)) == len(seeds) == 2 * 2 * len(layers) == 2 * 2 * 14
    assert all(layer.seed is None for layer in layers)


class _Failure(Exception):
    pass


def test_a_step_that_fails_leaves_no_dropout_behind():
    trunk = opened()
    with pytest.raises(_Failure), trunk.dropout(1, 0):
        raise _Failure
    assert trunk.roles._switch.dropout_seed is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("is_fused", [True, False])
def test_layers_that_are_not_fused_drop_out_alike(monkeypatch: pytest.MonkeyPatch, is_fused: bool):
    """As in GPT-2, whose layers are of another kind."""
    if not is_fused:
        monkeypatch.setattr(
            "rlhf_core.models.adapter_roles.use_fused_linears", lambda config: config
        )
    trunk = opened()
    assert trunk.roles._has_switch is is_fused  # type: ignore[attr-defined]
    loss, found = gradients(trunk, 1)
    monkeypatch.undo()
    expected = gradients(opened(), 1)
    torch.testing.assert_close((loss, found), expected, atol=1e-5, rtol=1e-4)


def test_the_saved_config_names_the_dropout(tmp_path: Path):
    trunk = opened()
    save_role(trunk, Role.POLICY, tmp_path / "policy", tmp_path)
    assert LoraConfig.from_pretrained(str(tmp_path / "policy")).lora_dropout == SHARE


def prompts() -> Iterator[tuple[int, ...]]:
    yield from ((5, 6, 7), (8, 9), (10, 11, 12), (13,))


def test_ppo_trains_without_dropout_and_passes_its_check_of_the_ratio():
    """PPO refuses a gap between a policy and itself, which two masks would make."""
    settings = PPOSettings.model_validate(
        {"steps": 2, "prompts_per_step": 2, "samples_per_prompt": 2, "ptx": {"examples": 2}}
    )
    ends = []
    for lora in (SHAPE, LoraShape(4)):
        trunk = open_trunk("tiny-random", FP32, lora)
        trunk.add_role(Role.CRITIC, 1)
        trunk.add_role(Role.POLICY, 1)
        steps = list(
            train_online(
                trunk,
                list(prompts()),
                share_of_low,
                settings,
                SamplingSettings(max_new_tokens=4),
                1,
                TEXTS,
            )
        )
        assert steps[0].metrics["first_ratio"] == pytest.approx(1.0, abs=1e-6)
        ends.append([parameter.tolist() for parameter in trunk.parameters(Role.POLICY)])
    assert ends[0] == ends[1]


def test_full_weights_have_no_dropout():
    load = lambda dtype: load_language_model("tiny-random", dtype, FP32.device)  # noqa: E731
    roles = new_roles(load, FP32, None)
    with roles.dropout(1):
        assert not any(isinstance(m, AdapterDropout) for m in roles.base.modules())
