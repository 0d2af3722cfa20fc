from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft.tuners.lora import Linear as LoraLinear
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from rlhf_core.errors import ModelNotFoundError, TrainingError
from rlhf_core.models import artifacts
from rlhf_core.models.adapter_roles import AdapterRoles
from rlhf_core.models.artifacts import HEAD, open_trunk, save_merged, save_role
from rlhf_core.models.merging import merge_saved
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32

BF16 = replace(FP32, dtype=torch.bfloat16)
SEQUENCES = [TokenSequence((10, 11, 12), (13, 14)), TokenSequence((20,), (21, 22, 23))]


def saved(folder: Path, role: Role, lora_rank: int | None) -> tuple[Trunk, Path]:
    """Save a role on a fine-tuned model, both perturbed; return the trunk and the role's folder."""
    fine_tuned = disturbed(open_trunk("tiny-random", FP32, lora_rank), Role.SFT)
    save_merged(fine_tuned, Role.SFT, folder / "sft")
    trunk = disturbed(open_trunk(str(folder / "sft"), FP32, lora_rank), role)
    save_role(trunk, role, folder / role, folder / "sft")
    return trunk, folder / role


def disturbed(trunk: Trunk, role: Role) -> Trunk:
    trunk.add_role(role, 1)
    with torch.no_grad():
        for parameter in trunk.parameters(role):
            parameter += 0.05 * torch.randn_like(parameter)
    return trunk


@pytest.mark.parametrize("lora_rank", [4, None])
def test_merged_policy_has_the_log_probabilities_of_the_role(tmp_path: Path, lora_rank: int | None):
    """They are computed with plain transformers, one sequence at a time."""
    trunk, folder = saved(tmp_path, Role.POLICY, lora_rank)
    merged = merge_saved(folder, tmp_path / "out", FP32)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    with torch.no_grad():
        expected = trunk.token_logprobs(Role.POLICY, trunk.batch(SEQUENCES), 1.0)
        reference = trunk.token_logprobs(Role.REFERENCE, trunk.batch(SEQUENCES), 1.0)
        for row, sequence in enumerate(SEQUENCES):
            ids = torch.tensor([[*sequence.prompt_ids, *sequence.response_ids]])
            said = torch.log_softmax(plain(input_ids=ids).logits[0, :-1], -1)
            found = said.gather(1, ids[0, 1:, None])[len(sequence.prompt_ids) - 1 :, 0]
            torch.testing.assert_close(expected[row, : len(found)], found, atol=1e-4, rtol=1e-4)
    assert (expected - reference).abs().max() > 0.01
    assert merged.precision == "float32"
    assert merged.divergence_nats == pytest.approx(0.0, abs=1e-5)
    assert merged.parameters == sum(parameter.numel() for parameter in plain.parameters())
    assert merged.size_bytes >= 4 * merged.parameters


@pytest.mark.parametrize("lora_rank", [4, None])
def test_weights_are_added_in_full_precision_and_rounded_once(
    tmp_path: Path, lora_rank: int | None
):
    """Every weight is the exact sum rounded to bf16; adding in bf16 would miss some."""
    _, folder = saved(tmp_path, Role.POLICY, lora_rank)
    exact, rounded = (
        AutoModelForCausalLM.from_pretrained(merge(folder, tmp_path / name, compute))
        for name, compute in (("exact", FP32), ("rounded", BF16))
    )
    assert rounded.dtype == torch.bfloat16
    for name, weight in rounded.state_dict().items():
        assert torch.equal(weight, exact.state_dict()[name].bfloat16()), name


def merge(folder: Path, out: Path, compute: object) -> Path:
    found = merge_saved(folder, out, compute)  # type: ignore[arg-type]
    assert 0 <= abs(found.divergence_nats) < 0.05
    return out


@pytest.mark.parametrize("lora_rank", [4, None])
def test_a_reward_model_is_not_merged(tmp_path: Path, lora_rank: int | None):
    _, folder = saved(tmp_path, Role.REWARD, lora_rank)
    with pytest.raises(ModelNotFoundError, match="reward is a reward model: plain transformers"):
        merge_saved(folder, tmp_path / "out", FP32)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("lora_rank", [4, None])
def test_a_policy_that_was_trained_with_a_shared_critic_is_merged(
    tmp_path: Path, lora_rank: int | None
):
    """Earlier versions saved it with the critic's head; both forms are merged."""
    trunk, folder = saved(tmp_path, Role.POLICY, lora_rank)
    trunk.add_role(Role.REWARD, 1)
    trunk.copy_head(Role.REWARD, Role.POLICY)
    folder = folder.with_name("policy-1")
    save_role(trunk, Role.POLICY, folder, tmp_path / "sft")
    merged = merge_saved(folder, tmp_path / "out", FP32)
    assert merged.divergence_nats == pytest.approx(0.0, abs=1e-5)
    save_file(trunk.heads[Role.REWARD].state_dict(), folder / HEAD)
    again = merge_saved(folder, tmp_path / "again", FP32)
    assert again == merged


def test_what_merges_wrongly_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _, folder = saved(tmp_path, Role.POLICY, 4)
    exact = AdapterRoles.merge

    def wrong(self: AdapterRoles, role: Role, dtype: torch.dtype) -> torch.nn.Module:
        model = exact(self, role, dtype)
        model.get_input_embeddings().weight.data *= 1.01
        return model

    monkeypatch.setattr(AdapterRoles, "merge", wrong)
    with pytest.raises(TrainingError, match="merges wrongly"):
        merge_saved(folder, tmp_path / "out", FP32)
    assert not (tmp_path / "out").exists()


def test_a_layer_that_merges_wrongly_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """In half precision the outputs of a whole model would not show it."""
    _, folder = saved(tmp_path, Role.POLICY, 4)
    exact = LoraLinear.get_delta_weight
    monkeypatch.setattr(LoraLinear, "get_delta_weight", lambda *given: 2 * exact(*given))
    with pytest.raises(TrainingError, match="a layer of reloaded merges wrongly"):
        merge_saved(folder, tmp_path / "out", BF16)
    assert not (tmp_path / "out").exists()


def test_a_base_in_half_precision_is_never_held_in_fp32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fine_tuned = disturbed(open_trunk("tiny-random", BF16, 4), Role.SFT)
    save_merged(fine_tuned, Role.SFT, tmp_path / "sft")
    policy = disturbed(open_trunk(str(tmp_path / "sft"), BF16, 4), Role.POLICY)
    save_role(policy, Role.POLICY, tmp_path / "policy", tmp_path / "sft")
    loaded: list[torch.dtype] = []
    load = artifacts.load_language_model

    def recorded(
        name: str, dtype: torch.dtype, *others: object, **named: object
    ) -> torch.nn.Module:
        loaded.append(dtype)
        return load(name, dtype, *others, **named)

    monkeypatch.setattr(artifacts, "load_language_model", recorded)
    assert merge_saved(tmp_path / "policy", tmp_path / "out", BF16).precision == "bfloat16"
    assert loaded == [torch.bfloat16]  # once, and neither in fp32 nor read back as a second copy


def test_one_layer_at_a_time_is_in_full_precision(monkeypatch: pytest.MonkeyPatch):
    """The others are in the precision of the model, so that no second copy of it is in memory."""
    trunk = disturbed(open_trunk("tiny-random", BF16, 4), Role.SFT)
    counts: list[int] = []
    merge = LoraLinear.merge

    def counted(layer: LoraLinear, *args: object, **kwargs: object) -> None:
        weights = [each.get_base_layer().weight for each in layers]
        counts.append(sum(weight.dtype == torch.float32 for weight in weights))
        merge(layer, *args, **kwargs)

    layers = [each for each in trunk.language_model.modules() if isinstance(each, LoraLinear)]
    monkeypatch.setattr(LoraLinear, "merge", counted)
    trunk.roles.merge(Role.SFT)
    assert counts == [1] * len(layers)
