"""What benchmarks say of a GPU: counted by hand, and run through on a CPU with pretended peaks."""

import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig

from rlhf_core.models.trunk import Role, Trunk
from tests.benchmarks import __main__ as command
from tests.benchmarks import gpu, store_views
from tests.benchmarks.flops import Row, Size, sampling_bytes, size_of, training_flops
from tests.benchmarks.hardware import Peak, peak_of
from tests.conftest import FP32

SIZE = Size(frozen=1000, trained=10, output=200, layers=2, width=4, cache=6)
TINY = LlamaConfig(
    vocab_size=259,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=16,
    tie_word_embeddings=True,
)
LOAD = gpu.Load(prompts=2, answers=2, prompt_tokens=5, answer_tokens=3)


def test_training_operations_by_hand():
    """A prompt of 3 tokens and answers of 2 and 1: 6 tokens, 3 of them answers.

    Products: 6 · (4·1000 + 6·10). The output embedding: 3 · 4·200. Pairs: 1+2+3 in the prompt,
    4+5 and 4 in the answers, so 19, of 12 · 2 layers · 4 operations each.
    """
    rows = [Row(3, (2, 1))]
    assert training_flops(SIZE, rows, reads_logprobs=False) == 6 * 4060 + 19 * 96
    assert training_flops(SIZE, rows, reads_logprobs=True) == 6 * 4060 + 19 * 96 + 2400


def test_a_trained_weight_costs_half_as_much_again_as_a_frozen_one():
    """Full-parameter training of N weights takes 6N a token, adapter training little over 4N."""
    one_token = [Row(1, ())]
    attention = 12 * SIZE.layers * SIZE.width
    whole = replace(SIZE, frozen=0, trained=1000)
    assert training_flops(whole, one_token, reads_logprobs=False) == 6000 + attention
    frozen = replace(SIZE, trained=0)
    assert training_flops(frozen, one_token, reads_logprobs=False) == 4000 + attention


def test_bytes_of_sampling_by_hand():
    """Two answers of 3 tokens to 5: three passes over 2·1200 bytes of weights and 4·10 of adapters.

    The second and the third token of each answer read 6 and 7 tokens before them, 2·6 bytes each.
    """
    assert sampling_bytes(SIZE, [Row(5, (3, 3))], 2) == 3 * 2440 + 2 * 13 * 12


def test_a_model_is_measured_by_its_linear_layers(trunk: Trunk):
    """A layer has q and o of 32·32, k and v of 32·16, three of 32·64: 9216 weights.

    Its adapters of rank 4 have 4·(in + out) each, 2048 together; the vocabulary is of 259.
    """
    trunk.add_role(Role.POLICY, 1)
    trunk.add_role(Role.REWARD, 1)
    expected = Size(2 * 9216, 2 * 2048, 259 * 32, layers=2, width=32, cache=2 * 2 * 16)
    assert size_of(trunk, Role.POLICY) == size_of(trunk, Role.REWARD) == expected


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
    ],
)
def test_a_gpu_is_known_by_its_name(name: str, flops: float):
    peak = peak_of(name)
    assert peak is not None
    assert peak.flops == flops


@pytest.mark.parametrize(
    "name",
    ["NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GH200"],
)
def test_a_gpu_that_is_like_a_known_one_is_not_known(name: str):
    assert peak_of(name) is None


def test_everything_a_gpu_would_be_asked_runs():
    """At the peaks pretended, 1 Gflop/s and 1 GB/s, the bounds follow from the counts above."""
    peak = Peak(flops=1e9, bandwidth=1e9)
    found = list(gpu.measured("tiny", TINY, LOAD, FP32, "Pretended", peak))
    assert [result.detail for result in found] == [
        "reward model's step, tiny",
        "PPO's experience, tiny",
        "PPO's update, tiny",
        "rolling out, tiny",
    ]
    assert [result.goal for result in found] == [0.45, 0.45, 0.40, 0.5]
    for result in found:
        assert result.ours > 0
        assert result.ratio == pytest.approx(result.ours / result.peer)
    # Rank 16: 4 · 2048 adapter weights a layer. Per row 11 tokens, and 15 + 2·(15 + 6) pairs.
    frozen, trained, output = 2 * 9216, 2 * 4 * 2048, 259 * 32
    passes = 22 * (4 * frozen + 6 * trained) + 2 * 57 * 12 * 2 * 32
    reward, experience, ppo, rollout = found
    assert reward.peer == pytest.approx(22 * 1e9 / passes)
    assert ppo.peer == pytest.approx(22 * 1e9 / (2 * passes + 12 * 4 * output))
    # Forward alone: 2 operations a weight and 4 a pair, by policy and critic with adapters, and by
    # the reference without; both that are a policy read the logits of 12 answer tokens.
    forward = 3 * (22 * 2 * frozen + 2 * 57 * 4 * 2 * 32) + 2 * 22 * 2 * trained
    assert experience.peer == pytest.approx(22 * 1e9 / (forward + 2 * 12 * 2 * output))
    read = 3 * 4 * (frozen + output + trained) + 2 * 2 * (6 + 7) * 4 * 64
    assert rollout.peer == pytest.approx(12 * 1e9 / read)


def test_of_an_unknown_gpu_there_are_tokens_a_second_alone():
    result = next(gpu.measured("tiny", TINY, LOAD, FP32, "NVIDIA X1", None))
    assert result.ours > 0
    assert result.ratio is None
    assert "MFU left out, for the peaks of 'NVIDIA X1' are not known" in result.detail
    assert "ratio" not in result.as_dict()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "gpu"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("gpu: needs a CUDA GPU that multiplies bf16, and this is cpu")
    assert err.count("\n") == 1


def test_the_others_go_on_without_what_is_not_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from tests.benchmarks import lora
    from tests.benchmarks.result import NotHereError, alone

    def refuse(_: object) -> None:
        raise NotHereError("not here")

    monkeypatch.setattr(gpu, "run", refuse)
    monkeypatch.setattr(lora, "run", lambda _: [alone("lora", [2.0, 1.0, 9.0], "s", "", None)])
    monkeypatch.setattr(command.pkgutil, "iter_modules", _of("gpu", "lora"))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--json"])
    command.main()
    out, err = capsys.readouterr()
    assert '"ours": 2.0' in out
    assert err == "gpu: not here\n"


def test_every_view_is_timed_over_a_big_store_made_small(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOLON_BENCH_STORE_SCALE", "0.0001")
    monkeypatch.setattr(store_views, "TURNS", 1)
    found = {result.detail.split(":")[0].split(" WHERE")[0] for result in store_views.run(FP32)}
    assert set(store_views.FILTERS) <= found
    assert "check_orphans" in found


def _of(*names: str) -> Callable[[object], list[object]]:
    return lambda _: [type("Module", (), {"name": name}) for name in names]
