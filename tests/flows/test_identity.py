"""The hash of a config changes exactly when its results change."""

from pathlib import Path

import pytest

from flows.cycle import versions
from flows.cycle.identity import config_hash
from rlhf_core.config import Config, load_config

SMALL = """
prompts: {path: prompts.jsonl}
judges:
  - {kind: direct, model: 'openai:m', weight: 2}
  - {kind: similarity}
  - kind: jury
    name: three
    judges: [{kind: direct, name: a}, {kind: rubric, name: b}]
sampling: {endpoint: {model: other}}
revision: {endpoint: {model: third}}
training: {reward: {judges: [{kind: direct, name: rewards, model: 'openai:r'}]}}
evaluation: {judges: [{kind: verifier, metric: token_f1}]}
"""
TRANSPORT = {
    "base_url": "'http://127.0.0.1:9/v1'",
    "api_key_env": "OTHER_KEY",
    "concurrency": "3",
    "timeout_seconds": "7",
    "max_attempts": "2",
    "requests_per_minute": "9",
    "delivery": "batch",
    "price_per_million_input_tokens": "4",
}
ENDPOINTS = (
    "judges.0",
    "judges.2.judges.0",
    "sampling.endpoint",
    "revision.endpoint",
    "training.reward.judges.0",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(SMALL)
    return file


def load(path: Path, *overrides: str) -> Config:
    return load_config(path, overrides, {})


@pytest.mark.parametrize(
    "override",
    [
        *(f"{where}.{key}={value}" for where in ENDPOINTS for key, value in TRANSPORT.items()),
        "name=other",
        "store=x.duckdb",
        "artifacts=y",
        "tracker=none",
        "budget.max_usd=5",
        "compute.tokens_per_microbatch=64",
        "compute.checkpoint_every=1",
        "reward_model.measure_every=3",
        "judges.1.batch_size=8",
        "judges.1.name=renamed",
        # Defaults that are spelt out.
        "judges.1.model=all-minilm-l6-v2",
        "judges.0.weight=2.0",
        "seed=1",
    ],
)
def test_where_how_and_at_what_price_is_no_part_of_the_hash(path: Path, override: str):
    assert config_hash(load(path, override)) == config_hash(load(path))


@pytest.mark.parametrize(
    "override",
    [
        "seed=2",
        "judges.0.weight=1",
        "judges.0.model='openai:n'",
        "judges.0.max_tokens=3",
        "judges.1.modes=[creative]",
        "judges.2.judges.1.kind=pairwise",
        "sampling.endpoint.model=n",
        "revision.rounds=1",
        "training.prompts_per_step=3",
        "training.kl.coefficient=0.1",
        "training.reward.judges.0.model='openai:n'",
        "evaluation.samples_per_prompt=3",
        "promotion.confidence=0.9",
        "prompts.limit=9",
    ],
)
def test_what_decides_results_is_part_of_the_hash(path: Path, override: str):
    assert config_hash(load(path, override)) != config_hash(load(path))


def test_recipes_of_models_leave_out_the_same(path: Path):
    """A new address of a server trains no new policy, nor does another limit on long prompts."""
    where = "training.reward.judges.0"
    moved = load(path, f"{where}.base_url='http://b/v1'", f"{where}.name=x", "compute.device=cpu")
    one, other = (versions.policy(config, "sft", "reward", ["p"]) for config in (load(path), moved))
    assert one.id == other.id
    louder = load(path, f"{where}.weight=2")
    assert versions.policy(louder, "sft", "reward", ["p"]).id != one.id
    plain, longer = (
        load(path),
        load(path, "policy.max_prompt_tokens=9", "reward_model.measure_every=2"),
    )
    assert versions.sft(longer).id == versions.sft(plain).id
    assert versions.reward(longer, "sft", ["r"]).id == versions.reward(plain, "sft", ["r"]).id
    assert versions.sft(load(path, "policy.lora_rank=3")).id != versions.sft(plain).id
