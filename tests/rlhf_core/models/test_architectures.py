"""Log-probabilities of every architecture equal those of transformers' eager attention."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models import architecture
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.kernels.attention import GROUPED
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling.local import SamplingLimits, sample_on_all_ranks
from tests.conftest import FP32
from tests.rlhf_core.models.architectures import CONFIGS, write_architecture

EXACT_NATS = 1e-4
REFUSED = {"mamba": "'mamba' caches more of a text than keys and values"}
EAGER = {"gemma2": "softcap", "gpt-oss": "s_aux"}
ROWS_OF_THEIR_OWN = ("bloom", "falcon", "falcon with alibi", "gpt-j")
SERVED = [name for name in CONFIGS if name not in REFUSED]


def random_ids(count: int, seed: int) -> tuple[int, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(3, 250, (count,), generator=generator).tolist())


PROMPTS = [random_ids(20, seed=1), random_ids(13, seed=2)]
"""Tokens of prompts that are longer than the windows."""
SEQUENCES = [
    TokenSequence(prompt, random_ids(length, seed=length))
    for prompt in PROMPTS
    for length in (12, 9, 5)
]


def eager(folder: str) -> PreTrainedModel:
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    return model.eval()  # type: ignore[no-any-return]


def expected(model: PreTrainedModel, sequence: TokenSequence) -> Tensor:
    """Return the log-probability of each response token, from its own row without padding, (R,)."""
    ids = torch.tensor([[*sequence.prompt_ids, *sequence.response_ids]])
    start = len(sequence.prompt_ids)
    logprobs = torch.log_softmax(model(input_ids=ids).logits[0], dim=-1)[start - 1 : -1]
    return logprobs.gather(1, ids[0, start:, None]).squeeze(1)


def gradients(trunk: Trunk) -> list[Tensor]:
    """Return the gradient of a role's weights under the likelihood of all sequences."""
    trunk.token_logprobs(Role.POLICY, trunk.batch(SEQUENCES), 1.0).sum().backward()
    found = [p.grad for p in trunk.parameters(Role.POLICY) if p.grad is not None]
    for parameter in trunk.parameters(Role.POLICY):
        parameter.grad = None
    return found


@pytest.mark.parametrize("name", SERVED)
def test_log_probabilities_are_those_of_eager_attention(name: str, tmp_path: Path):
    """Checked in training, with and without shared prompts, and in sampling."""
    folder = write_architecture(name, tmp_path)
    trunk, plain = open_trunk(folder, FP32, 4), eager(folder)
    with torch.no_grad():
        for is_shared in (True, False):
            trunk.compute = replace(FP32, share_prompts=is_shared)
            found = trunk.token_logprobs(Role.REFERENCE, trunk.batch(SEQUENCES), 1.0)
            for row, sequence in zip(found, SEQUENCES, strict=True):
                own = row[: len(sequence.response_ids)]
                torch.testing.assert_close(own, expected(plain, sequence), atol=EXACT_NATS, rtol=0)
        limits = SamplingLimits(12, 1.0, trunk.end_ids, trunk.pad_id)
        with trunk.acting_as(Role.REFERENCE) as model:
            drawn = sample_on_all_ranks(model, PROMPTS, [[1, 2], [3]], limits, 2048)
        for prompt, answers in zip(PROMPTS, drawn, strict=True):
            for answer in answers:
                sampled = torch.tensor(answer.logprobs)
                own = expected(plain, TokenSequence(prompt, answer.token_ids))
                torch.testing.assert_close(sampled, own, atol=EXACT_NATS, rtol=0)


@pytest.mark.parametrize("name", SERVED)
def test_gradients_are_those_of_eager_attention_in_rows_of_their_own(name: str, tmp_path: Path):
    trunk = open_trunk(write_architecture(name, tmp_path), FP32, 4)
    trunk.add_role(Role.POLICY, seed=1)
    found = gradients(trunk)
    trunk.compute = replace(FP32, share_prompts=False)
    if trunk.language_model.config._attn_implementation == GROUPED:
        trunk.language_model.set_attn_implementation("eager")
    assert any(gradient.abs().sum() > 0 for gradient in found)
    for ours, theirs in zip(found, gradients(trunk), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", SERVED)
def test_the_fast_path_is_left_where_it_would_be_wrong_and_the_log_says_so_once(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    architecture._log_once.cache_clear()
    folder = write_architecture(name, tmp_path)
    with caplog.at_level(logging.INFO, "rlhf_core.models.architecture"):
        trunk = open_trunk(folder, FP32, 4)
        open_trunk(folder, FP32, 4)
    is_own = name not in EAGER and name not in ROWS_OF_THEIR_OWN
    assert (trunk.language_model.config._attn_implementation == GROUPED) is is_own
    assert trunk.shares_prompts is (name not in ROWS_OF_THEIR_OWN)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(set(said))
    assert any("a row of its own" in line for line in said) is (name in ROWS_OF_THEIR_OWN)
    assert any("only the eager attention" in line for line in said) is (name in EAGER)
    if name in EAGER:
        assert any(f"its attention takes {EAGER[name]}," in line for line in said)
    if is_own:
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
