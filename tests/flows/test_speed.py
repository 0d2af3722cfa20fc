from pathlib import Path

import pytest
from transformers import Qwen3Config, Qwen3ForCausalLM

from flows.planning.speed import _shallow, _Stopwatch, measure_speed
from rlhf_core.models.loading import load_tokenizer
from tests.conftest import FP32
from tests.rlhf_core.models.architectures import write_architecture


@pytest.fixture
def deep(tmp_path: Path) -> str:
    """Write a model of ten layers whose config lists a type for each, as newer architectures do."""
    tokenizer = load_tokenizer("tiny-random")
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=10,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        layer_types=["full_attention"] * 10,
    )
    Qwen3ForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return str(tmp_path)


@pytest.mark.parametrize(("name", "lora_rank"), [("tiny-random", 2), (None, 2), (None, None)])
def test_every_kind_of_work_takes_time(name: str | None, lora_rank: int | None, deep: str):
    speed = measure_speed(name or deep, FP32, lora_rank)
    assert min(speed.sampling, speed.forward, speed.training, speed.update) > 0


def test_only_a_few_layers_are_made(deep: str):
    model = _shallow(deep, 4, FP32, lora=2).language_model
    assert model.config.num_hidden_layers == 4
    assert len(model.base_model.layers) == 4


def test_types_of_layers_begin_again_where_the_model_has_fewer_than_are_timed(tmp_path: Path):
    """The types of two layers, one with a window, repeat over four: window, full, window, full."""
    model = _shallow(write_architecture("gemma3", tmp_path), 4, FP32, lora=2).language_model
    assert len(model.base_model.layers) == 4
    assert model.config.layer_types == ["sliding_attention", "full_attention"] * 2


def test_the_slowdown_is_the_time_that_passed_for_each_second_of_the_work(
    monkeypatch: pytest.MonkeyPatch,
):
    """Runs of 2 s that others stretch to 5 s: the fastest takes 2 s, 2.5 times as long for us."""
    now = {"passed": 0.0, "own": 0.0}
    monkeypatch.setattr("flows.planning.speed.time.perf_counter", lambda: now["passed"])

    def work() -> None:
        now["passed"] += 5
        now["own"] += 2

    watch = _Stopwatch(lambda: now["own"])
    assert watch.slowdown == 1
    assert watch.seconds(work) == 2
    assert watch.slowdown == 2.5
