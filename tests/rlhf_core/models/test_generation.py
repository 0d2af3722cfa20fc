"""The generation config of saved models: valid for transformers, with every end token."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from transformers import GenerationConfig

from rlhf_core.models.artifacts import open_trunk, save_merged
from rlhf_core.models.generation import complete_generation_config
from rlhf_core.models.loading import load_language_model, load_tokenizer
from rlhf_core.models.trunk import Role
from tests.conftest import FP32
from tests.rlhf_core.models.architectures import write_architecture

LLAMA_2 = {"do_sample": False, "temperature": 0.9, "top_p": 0.6}
"""As published with Llama 2's chat models."""


@pytest.mark.parametrize("lora_rank", [2, None])
def test_an_invalid_config_is_mended_where_a_model_is_saved(
    tmp_path: Path, lora_rank: int | None, caplog: pytest.LogCaptureFixture
):
    source = Path(write_architecture("llama3", tmp_path / "source"))
    (source / "generation_config.json").write_text(json.dumps({**LLAMA_2, "eos_token_id": 1}))
    trunk = open_trunk(str(source), FP32, lora_rank)
    trunk.add_role(Role.SFT, 1)
    with caplog.at_level(logging.WARNING, "rlhf_core.models.generation"):
        save_merged(trunk, Role.SFT, tmp_path / "out")
    saved = GenerationConfig.from_pretrained(tmp_path / "out")
    saved.validate(strict=True)
    assert (saved.do_sample, saved.temperature, saved.top_p) == (True, 0.9, 0.6)
    assert saved.eos_token_id == sorted({1, trunk.eos_id})
    (said,) = {record.getMessage() for record in caplog.records}
    assert said.startswith("generation config: `temperature`: `do_sample` is not set to `True`")
    assert "\n" not in said
    assert said.endswith("; saved with do_sample = true")


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({}, {}),
        ({"do_sample": True, "top_k": 20}, {"do_sample": True, "top_k": 20}),
        ({"num_beams": 1, "early_stopping": True}, {"early_stopping": None}),
    ],
)
def test_valid_settings_stay_and_what_sampling_does_not_mend_goes(
    named: dict[str, Any], expected: dict[str, Any]
):
    model = load_language_model("tiny-random", FP32.dtype, FP32.device)
    model.generation_config = GenerationConfig(eos_token_id=1, pad_token_id=0, **named)
    complete_generation_config(model, load_tokenizer("tiny-random"))
    found = model.generation_config
    found.validate(strict=True)
    assert (found.eos_token_id, found.pad_token_id) == ([1, 2], 0)
    assert {key: getattr(found, key) for key in expected} == expected
