"""A training of several ranks against the same one of a single process."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM


def require_same_training(several: Path, one: Path, world: int, shards: int) -> None:
    """Require the weights of one process to 1e-5, its metrics to 1e-4, and a shard in each rank.

    Args:
        several: Weights that several ranks trained; metrics and the saved model lie beside them.
        one: Weights that one process trained.
        world: Number of ranks.
        shards: Number of shards that hold the model once.
    """
    alone, together = (json.loads(path.with_suffix(".json").read_text()) for path in (one, several))
    assert (alone["world"], together["world"]) == (1, world)
    assert together["held"] == pytest.approx(alone["held"] / shards, rel=0.02)
    torch.testing.assert_close(load_file(several), load_file(one), atol=1e-5, rtol=1e-4)
    for ours, theirs in zip(together["metrics"], alone["metrics"], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4, rel=1e-3)
    saved = AutoModelForCausalLM.from_pretrained(several.with_suffix("")).state_dict()
    for name, weight in load_file(several).items():
        assert torch.equal(saved[name], weight), name
