"""A folder with a LoRA adapter, as PEFT writes it, named as a model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers as tf
from safetensors.torch import load_file, save_file

from judges.reward_model import RewardModelJudge, RewardModelOptions
from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models.artifacts import open_trunk, save_merged, save_role
from rlhf_core.models.classifier import classifier_scores, load_classifier, require_single_output
from rlhf_core.models.loading import (
    load_language_model,
    load_tokenizer,
    locate,
    parameter_count,
    read_config,
)
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.tiny import byte_tokenizer
from rlhf_core.models.trunk import Role
from tests.conftest import FP32
from tests.rlhf_core.models.architectures import write_architecture

SEQUENCE = TokenSequence((10, 11, 12, 13), (20, 21, 22, 2))
IDS = torch.tensor([[*SEQUENCE.prompt_ids, *SEQUENCE.response_ids]])
ADAPTER, CONFIG = "adapter_model.safetensors", "adapter_config.json"
Change = Callable[[Path], object]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
"""PEFT reads a transformers flag under its former name, and warns of layers it transposes."""


def write_adapter(folder: Path, architecture: str = "llama3", **options: Any) -> peft.PeftModel:
    """Save a base in `folder/base` and an adapter on it in `folder/adapter`; return the adapter."""
    base = write_architecture(architecture, folder / "base")
    kind = options.pop("kind", tf.AutoModelForCausalLM)
    labels = {"num_labels": 1} if kind is tf.AutoModelForSequenceClassification else {}
    torch.manual_seed(1)
    options = {"r": 4, "task_type": "CAUSAL_LM", "target_modules": "all-linear", **options}
    model = peft.get_peft_model(
        kind.from_pretrained(base, attn_implementation="eager", **labels),
        peft.LoraConfig(**options),
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.2)
    model.save_pretrained(folder / "adapter", save_embedding_layers=False)
    return model.eval()


def plain_logprobs(model: Any) -> torch.Tensor:
    with torch.no_grad():
        said = torch.log_softmax(model(input_ids=IDS).logits[0, :-1], -1)
    return said.gather(1, IDS[0, 1:, None])[len(SEQUENCE.prompt_ids) - 1 :, 0]


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("llama3", {}),
        ("llama3", {"use_dora": True, "use_rslora": True, "target_modules": ["q_proj", "up_proj"]}),
        ("gpt2", {"fan_in_fan_out": True}),
        ("gpt-oss", {}),
    ],
)
def test_the_policy_starts_from_base_and_adapter(
    tmp_path: Path, architecture: str, options: dict[str, Any]
):
    """Log-probabilities are those of PEFT, before and after they are merged and saved."""
    expected = plain_logprobs(write_adapter(tmp_path, architecture, **options))
    name = str(tmp_path / "adapter")
    assert parameter_count(name) == parameter_count(str(tmp_path / "base"))
    assert read_config(name).model_type == read_config(str(tmp_path / "base")).model_type
    assert load_tokenizer(name).eos_token == byte_tokenizer().eos_token
    trunk = open_trunk(name, FP32, 2)
    with torch.no_grad():
        found = trunk.token_logprobs(Role.REFERENCE, trunk.batch([SEQUENCE]), 1.0)[0]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    trunk.add_role(Role.SFT, 1)
    save_merged(trunk, Role.SFT, tmp_path / "out")
    plain = tf.AutoModelForCausalLM.from_pretrained(tmp_path / "out", attn_implementation="eager")
    torch.testing.assert_close(plain_logprobs(plain), expected, atol=1e-4, rtol=1e-4)
    base = tf.AutoModelForCausalLM.from_pretrained(tmp_path / "base", attn_implementation="eager")
    assert (plain_logprobs(base) - expected).abs().max() > 0.1


def test_a_policy_that_solon_trained_is_one(tmp_path: Path):
    """Its adapter names the base beside it by a relative path."""
    trunk = open_trunk("tiny-random", FP32, 2)
    trunk.add_role(Role.SFT, 1)
    save_merged(trunk, Role.SFT, tmp_path / "sft")
    trunk = open_trunk(str(tmp_path / "sft"), FP32, 2)
    trunk.add_role(Role.POLICY, 1)
    with torch.no_grad():
        for parameter in trunk.parameters(Role.POLICY):
            parameter += 0.05 * torch.randn_like(parameter)
        expected = trunk.token_logprobs(Role.POLICY, trunk.batch([SEQUENCE]), 1.0)
    save_role(trunk, Role.POLICY, tmp_path / "policy-1", tmp_path / "sft")
    again = open_trunk(str(tmp_path / "policy-1"), FP32, 2)
    with torch.no_grad():
        found = again.token_logprobs(Role.REFERENCE, again.batch([SEQUENCE]), 1.0)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_weights_are_added_in_fp32_and_rounded_once(tmp_path: Path):
    merged = write_adapter(tmp_path).merge_and_unload()
    found = load_language_model(str(tmp_path / "adapter"), torch.bfloat16, FP32.device)
    for name, weight in merged.state_dict().items():
        assert torch.equal(found.state_dict()[name], weight.bfloat16()), name


def test_a_classifier_adapter_scores_as_peft_does(tmp_path: Path):
    model = write_adapter(tmp_path, kind=tf.AutoModelForSequenceClassification, task_type="SEQ_CLS")
    name = str(tmp_path / "adapter")
    with torch.no_grad():
        expected = model(input_ids=IDS).logits.item()
    require_single_output(name)
    (found,) = classifier_scores(load_classifier(name, FP32), [SEQUENCE], FP32)
    assert found.item() == pytest.approx(expected, abs=1e-4)
    judge = RewardModelJudge(RewardModelOptions(model=name))
    judge.check()
    with pytest.raises(ModelNotFoundError, match="belongs to a classifier; name its base"):
        load_language_model(name, torch.float32, FP32.device)


def edit(**changes: object) -> Change:
    def change(folder: Path) -> None:
        path = folder / CONFIG
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def add_weights(folder: Path) -> None:
    weights = load_file(folder / ADAPTER)
    weights["base_model.model.lm_head.weight"] = torch.zeros(259, 32)
    save_file(weights, folder / ADAPTER)


def pickle_weights(folder: Path) -> None:
    torch.save(load_file(folder / ADAPTER), folder / "adapter_model.bin")
    (folder / ADAPTER).unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edit(base_model_name_or_path="./gone"), r"its base is missing: no model .*gone'"),
        (edit(base_model_name_or_path=None), r"names no base model \(base_model_name_or_path\)"),
        (edit(peft_type="IA3"), "it is of the type IA3, and only LORA is read"),
        (edit(init_lora_weights="pissa"), "its initialisation 'pissa' changed its base"),
        (edit(alora_invocation_tokens=[1, 2]), "acts on a part of a text alone"),
        (edit(r=8), r"its weight .*lora_A.* has the shape \[4, 64\], and its base needs \[8, 64\]"),
        (edit(target_modules=["nothing"]), r"it does not fit its base \(Target modules"),
        (edit(base_model_name_or_path="../adapter"), "its base .* is an adapter, too"),
        (add_weights, r"holds 1 weights beside LoRA's, such as base_model.model.lm_head.weight"),
        (pickle_weights, "holds no adapter_model.safetensors, and pickled weights are not loaded"),
        (
            lambda folder: (folder / CONFIG).write_text("{"),
            "its adapter_config.json cannot be read",
        ),
        (lambda folder: (folder / ADAPTER).write_text("no"), "safetensors cannot be read"),
    ],
)
def test_what_cannot_be_merged_is_refused_in_one_line_before_weights_are_read(
    tmp_path: Path, change: Change, message: str
):
    write_adapter(tmp_path)
    change(tmp_path / "adapter")
    with pytest.raises(ModelNotFoundError, match=message) as caught:
        parameter_count(str(tmp_path / "adapter"))
    assert "\n" not in str(caught.value)


def test_its_place_is_its_folder(tmp_path: Path):
    write_adapter(tmp_path)
    assert locate(str(tmp_path / "adapter")) == str(tmp_path / "adapter")
