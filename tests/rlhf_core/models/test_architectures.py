"""Every architecture agrees with transformers' eager attention; see matrix.py for the stages."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models import architecture
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.kernels.attention import GROUPED
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32
from tests.rlhf_core.models.architectures import CONFIGS, write_architecture
from tests.rlhf_core.models.matrix import (
    EXACT,
    PAGE,
    SEQUENCES,
    Choice,
    choice_for,
    eager,
    measure,
    sampling_gap,
    table_of,
    training_gap,
)

REFUSED = {"mamba": "'mamba' caches more of a text than keys and values"}
EAGER = {"gemma2": "softcap", "gpt-oss": "s_aux"}
ROWS_OF_THEIR_OWN = ("bloom", "falcon", "falcon with alibi", "gpt-j")
SERVED = [name for name in CONFIGS if name not in REFUSED]
EVERY_STAGE = ("gemma2", "gpt2", "bloom")
"""Architectures that go through every stage in the default tests: one with eager attention, one
with positions of its own and transposed weights, one with plain rows."""


def choice_of(name: str) -> Choice:
    shares = name not in ROWS_OF_THEIR_OWN
    return Choice(shares, has_own_attention=shares and name not in EAGER)


def gradients(trunk: Trunk) -> list[Tensor]:
    """Return the gradient of a role's weights under the likelihood of all sequences."""
    trunk.token_logprobs(Role.POLICY, trunk.batch(SEQUENCES), 1.0).sum().backward()
    found = [p.grad for p in trunk.parameters(Role.POLICY) if p.grad is not None]
    for parameter in trunk.parameters(Role.POLICY):
        parameter.grad = None
    return found


@pytest.mark.parametrize("name", SERVED)
def test_log_probabilities_and_gradients_are_those_of_eager_attention(name: str, tmp_path: Path):
    """Log-probabilities in sampling, and in training with and without shared prompts."""
    folder = write_architecture(name, tmp_path)
    trunk, plain = open_trunk(folder, FP32, 4), eager(folder)
    assert sampling_gap(trunk, plain) < EXACT
    assert training_gap(trunk, plain) < EXACT
    assert choice_for(trunk) == choice_of(name)
    trunk.add_role(Role.POLICY, seed=1)
    found = gradients(trunk)
    trunk.compute = replace(FP32, share_prompts=False)
    if trunk.language_model.config._attn_implementation == GROUPED:
        trunk.language_model.set_attn_implementation("eager")
    assert any(gradient.abs().sum() > 0 for gradient in found)
    for ours, theirs in zip(found, gradients(trunk), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # of PEFT
@pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys")  # PEFT, of experts
@pytest.mark.parametrize(
    ("name", "lora_rank"),
    [(name, 4) if name in EVERY_STAGE else pytest.param(name, 4, marks=pytest.mark.slow)
     for name in SERVED]
    + [pytest.param(name, None, marks=pytest.mark.slow) for name in SERVED],
)  # fmt: skip
def test_every_stage_agrees_with_transformers(name: str, lora_rank: int | None, tmp_path: Path):
    """Sampling, SFT, reward model, PPO, DPO, merging and reloading, and a classifier's scores."""
    found = measure(name, tmp_path, lora_rank)
    assert found.worst < EXACT, found


def test_the_page_lists_every_architecture_as_it_is_served():
    """After a change of the list: `python -m tests.rlhf_core.models.matrix`."""
    rows = {name: cells for name, *cells in table_of(PAGE.read_text(encoding="utf-8"))}
    assert list(rows) == list(CONFIGS)
    for name, cells in rows.items():
        if name in REFUSED:
            assert cells[0].startswith("refused: ")
            assert REFUSED[name] in cells[0]
            continue
        *numbers, shared, attention = cells
        assert all(float(number) < EXACT for number in numbers if number != "none")
        written = Choice(shared == "yes", has_own_attention=attention == "Solon's")
        assert written == choice_of(name), name


@pytest.mark.parametrize("name", ["llama3", *EAGER, *ROWS_OF_THEIR_OWN])
def test_the_fast_path_is_left_where_it_would_be_wrong_and_the_log_says_so_once(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    architecture._log_once.cache_clear()
    folder = write_architecture(name, tmp_path)
    with caplog.at_level(logging.INFO, "rlhf_core.models.architecture"):
        trunk = open_trunk(folder, FP32, 4)
        open_trunk(folder, FP32, 4)
    assert choice_for(trunk) == choice_of(name)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(set(said))
    assert any("a row of its own" in line for line in said) is (name in ROWS_OF_THEIR_OWN)
    assert any("only the eager attention" in line for line in said) is (name in EAGER)
    if name in EAGER:
        assert any(f"its attention takes {EAGER[name]}," in line for line in said)
    if choice_of(name).has_own_attention:
        assert not said


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_sampled_from_is_refused_when_it_is_opened(name: str, tmp_path: Path):
    folder = write_architecture(name, tmp_path)
    with pytest.raises(ModelNotFoundError, match=REFUSED[name]):
        open_trunk(folder, FP32, 4)


def test_an_unknown_change_of_logits_is_refused_however_small_the_logits_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A soft cap at 30 changes logits of 1 by 4e-4; those of a trained model it changes by nats."""
    folder = write_architecture("gemma2", tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"final_logit_softcapping": 30.0}))
    monkeypatch.setattr("rlhf_core.models.trunk.logit_rule", lambda model: lambda logits: logits)
    with pytest.raises(ModelNotFoundError, match="changes its logits after the output embedding"):
        open_trunk(folder, FP32, 4)
