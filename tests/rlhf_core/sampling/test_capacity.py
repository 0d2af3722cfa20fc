"""Rows of a rollout from free memory, by hand; no GPU is needed."""

from dataclasses import replace

import pytest
import torch

from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling import capacity, sampler
from rlhf_core.sampling.capacity import RowBytes, row_bytes, rows_that_fit, sampling_tokens
from rlhf_core.sampling.local import SamplingLimits, prefill_tokens
from tests.conftest import FP32

GPU = replace(FP32, device=torch.device("cuda", 0), dtype=torch.bfloat16)
ROW = RowBytes(per_token=100, fixed=1000)


def test_a_row_is_its_keys_values_and_logits(trunk: Trunk):
    """The tiny model: keys and values of 2 layers, 1 head and 16 numbers of 2 bytes; 259 words."""
    assert row_bytes(trunk.language_model, 2) == RowBytes(2 * 2 * 1 * 16 * 2, 24 * 259)


@pytest.mark.parametrize(
    ("free", "rows"),
    [
        (6_000, 2),  # 0.7 · 6,000 = 4,200, two rows of 10 · 100 + 1,000
        (11_000, 2),  # 3 fit, rounded down to a power of two
        (12_000, 4),
        (1_000, 1),  # not even one: it is tried all the same
        (10**9, 1024),
    ],
)
def test_rows_follow_from_free_memory(free: int, rows: int):
    assert rows_that_fit(free, ROW, length=10) == rows


def test_a_1b_model_on_a_large_card_has_256_rows_of_640_tokens():
    """16 layers × 8 heads × 64 × 2 × 2 bytes = 32,768 a token, 128,256 words: 24 MB a row.

    The default micro-batch of 3,072 tokens gave it 4 · 3,072 / 640 = 19 rows.
    """
    row = RowBytes(32_768, 24 * 128_256)
    assert 640 * row.per_token + row.fixed == 24_049_664
    assert rows_that_fit(140 * 10**9, row, 640) == 1024
    assert rows_that_fit(10 * 10**9, row, 640) == 256


def test_a_cpu_keeps_the_rows_of_its_micro_batch(trunk: Trunk):
    assert sampling_tokens(trunk.language_model, FP32, 10) == 4 * FP32.tokens_per_microbatch


def test_a_gpu_has_as_many_tokens_as_rows_of_that_length(
    trunk: Trunk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(capacity, "free_bytes", lambda device: 10**9)
    # A row of 100 tokens is 12,800 + 6,216 bytes: 36,811 fit, and 1,024 are the most.
    assert sampling_tokens(trunk.language_model, GPU, 100) == 1024 * 100


def test_full_memory_leaves_one_row(trunk: Trunk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(capacity, "free_bytes", lambda device: 0)
    assert sampling_tokens(trunk.language_model, GPU, 100) == 100


@pytest.mark.parametrize(("device", "tokens"), [("cpu", 1024), ("cuda", 16_384)])
def test_a_gpu_reads_many_prompts_at_once(device: str, tokens: int):
    assert prefill_tokens(torch.device(device)) == tokens


def test_rollouts_ask_for_the_longest_prompt_with_its_answer(
    trunk: Trunk, monkeypatch: pytest.MonkeyPatch
):
    asked: list[int] = []

    def noted(model: object, compute: object, longest: int) -> int:
        asked.append(longest)
        return 64

    monkeypatch.setattr(sampler, "sampling_tokens", noted)
    limits = SamplingLimits(3, 1.0, trunk.end_ids, trunk.pad_id)
    sampler.LOCAL.sample(trunk, Role.REFERENCE, [(5, 6), (7, 8, 9, 10)], [[1], [2]], limits)
    assert asked == [7]
