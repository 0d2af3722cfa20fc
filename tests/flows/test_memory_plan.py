"""The arithmetic of memory against figures by hand, and what a plan says about them."""

from dataclasses import replace
from pathlib import Path

import pytest

from flows.planning.memory import describe_fit, memory_warning, roles_of, training_of
from rlhf_core.config.training import DPOSettings, PPOSettings, RLOOSettings
from rlhf_core.models.footprint import (
    ModelSize,
    TrainedRoles,
    TrainingMemory,
    bytes_needed,
    held_bytes,
    model_size,
)
from tests.conftest import FP32
from tests.flows.conftest import smoke

SEVEN = ModelSize(
    parameters=7_616_000_000,
    outside_layers=1_090_000_000,
    layers=28,
    width=3584,
    feed_forward=18944,
    vocabulary=152_064,
    lora_width=28 * (2 * 2 * 3584 + 2 * (3584 + 512) + 3 * (3584 + 18944)),
    quantisable=28 * (2 * 3584 * 3584 + 2 * 3584 * 512 + 3 * 3584 * 18944),
)
"""Qwen2.5-7B."""
H200 = 141_000_000_000
FULL = TrainingMemory(lora_rank=None, tokens=3072, is_checkpointed=False)


@pytest.mark.parametrize(
    ("roles", "bytes_each"),
    [
        (TrainedRoles(trained=1), 2 + 16),  # fine-tuning: a frozen base, and one role
        (roles_of(RLOOSettings(algorithm="rloo", ema=None)), 2 + 16 + 4),  # and a reward model
        (roles_of(PPOSettings(ema=None)), 2 + 16 + 16 + 4),  # and a critic
        (roles_of(DPOSettings(algorithm="dpo")), 2 + 16),
    ],
)
def test_bytes_a_parameter_of_full_weights(roles: TrainedRoles, bytes_each: int):
    assert held_bytes(SEVEN, roles, FULL) == bytes_each * SEVEN.parameters


def test_shards_divide_what_is_held_and_gather_two_layers_and_the_embeddings():
    sharded = TrainingMemory(lora_rank=None, tokens=3072, is_checkpointed=False, ranks=8)
    layer = (7_616_000_000 - 1_090_000_000) // 28
    gathered = 4 * (2 * layer + 1_090_000_000)
    assert held_bytes(SEVEN, TrainedRoles(1), sharded) == 18 * 7_616_000_000 // 8 + gathered


def test_an_adapter_of_rank_16_costs_little_beside_the_frozen_model():
    """40 million parameters a role at 16 bytes: 0.65 GB beside 15.2 GB."""
    adapters = TrainingMemory(lora_rank=16, tokens=3072, is_checkpointed=False)
    assert 16 * SEVEN.lora_width == pytest.approx(40.4e6, rel=0.01)
    held = held_bytes(SEVEN, TrainedRoles(1), adapters)
    assert held - 2 * SEVEN.parameters == 16 * 16 * SEVEN.lora_width


def test_a_base_in_4_bits_takes_a_third_of_the_memory_at_7b():
    """By hand: 6.53 of 7.62 billion weights at 0.516 bytes, the others at 2, one layer whole."""
    adapters = TrainingMemory(lora_rank=16, tokens=3072, is_checkpointed=False)
    whole, quantised = (
        held_bytes(SEVEN, TrainedRoles(1), replace(adapters, is_quantised=on))
        for on in (False, True)
    )
    linear, scale = 6_525_288_448, 1 / 64 + 1 / 4096
    base = 0.5 * linear + scale * linear + 2 * (7_616_000_000 - linear)
    assert quantised - 16 * 16 * SEVEN.lora_width == pytest.approx(base + 2 * 3584 * 18944, abs=1)
    assert (whole / 1e9, quantised / 1e9) == pytest.approx((15.88, 6.33), abs=0.01)


def test_what_fits_in_4_bits_alone_is_told_so():
    adapters = TrainingMemory(lora_rank=16, tokens=512, is_checkpointed=True)
    said = describe_fit(SEVEN, TrainedRoles(2, 1), adapters, 12_000_000_000)
    assert "It fits with policy.quantization: nf4; or with compute.shard: true on 4" in said
    full = describe_fit(SEVEN, TrainedRoles(1), FULL, 12_000_000_000)
    assert "policy.weights: adapters, policy.quantization: nf4" in full


def test_weights_in_4_bits_are_not_sharded_but_could_be_without():
    adapters = TrainingMemory(16, tokens=512, is_checkpointed=True, is_quantised=True)
    said = describe_fit(SEVEN, TrainedRoles(2, 1), adapters, 7_000_000_000)
    assert "policy.quantization: null, compute.shard: true on " in said
    assert "nf4" not in said


@pytest.mark.parametrize(("is_checkpointed", "megabytes"), [(False, 6.65), (True, 0.44)])
def test_a_token_keeps_the_activations_of_every_layer_or_their_inputs(
    is_checkpointed: bool, megabytes: float
):
    one, more = (
        bytes_needed(SEVEN, TrainedRoles(1), TrainingMemory(16, tokens, is_checkpointed))
        for tokens in (1024, 2048)
    )
    assert (more - one) / 1024 / 1e6 == pytest.approx(megabytes, rel=0.01)


def test_a_training_that_fits_needs_no_warning():
    adapters = TrainingMemory(lora_rank=16, tokens=3072, is_checkpointed=False)
    assert describe_fit(SEVEN, TrainedRoles(2, 1), adapters, H200) == ""


def test_ppo_of_all_weights_at_7b_is_told_what_fits_an_h200():
    said = describe_fit(SEVEN, TrainedRoles(2, 1), FULL, H200)
    assert said.startswith("memory: the policy's training takes about 31")
    assert "compute.gradient_checkpointing: true" in said
    assert "policy.weights: adapters; or with" in said
    assert "compute.shard: true on 4 devices" in said


def test_the_least_change_comes_first():
    """On 48 GB the adapters of a 7B model fit once activations are recomputed."""
    adapters = TrainingMemory(lora_rank=16, tokens=4096, is_checkpointed=False)
    said = describe_fit(SEVEN, TrainedRoles(2, 1), adapters, 40_000_000_000)
    assert said.endswith("It fits with compute.gradient_checkpointing: true.")


def test_the_size_of_a_model_is_read_from_its_config():
    """By hand: 2 blocks of q 32², k and v 32·16, o 32², 3 of 32·64, norms; 259 · 32 outside."""
    size = model_size("tiny-random")
    block = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64 + 2 * 32
    assert size.parameters == 2 * block + 259 * 32 + 32
    assert size.outside_layers == 259 * 32 + 32
    assert size.lora_width == 2 * (2 * 64 + 2 * 48 + 3 * 96)
    assert size.quantisable == 2 * (block - 2 * 32)
    chosen = model_size("tiny-random", ("q_proj",))
    assert (chosen.lora_width, chosen.quantisable) == (2 * 64, size.quantisable)


@pytest.mark.parametrize(
    ("shard", "ranks"), [("false", 1), ("true", 16), ("node", 8)], ids=["copies", "all", "node"]
)
def test_a_rank_holds_its_share_of_what_it_is_sharded_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard: str, ranks: int
):
    """Of 16 ranks on two machines."""
    monkeypatch.setenv("WORLD_SIZE", "16")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert training_of(smoke(tmp_path, f"compute.shard={shard}"), FP32).ranks == ranks


def test_a_tiny_model_fits_this_machine(tmp_path: Path):
    assert memory_warning(smoke(tmp_path), FP32) == ""
