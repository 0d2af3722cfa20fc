import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from rlhf_core.errors import ModelNotFoundError, TrainingError
from rlhf_core.models import artifacts
from rlhf_core.models.adapter_files import ADAPTER_CONFIG, adapter_base, base_name_from
from rlhf_core.models.artifacts import (
    _require_equal,
    is_reward_model,
    load_role,
    load_saved,
    open_trunk,
    save_merged,
    save_role,
)
from rlhf_core.models.loading import locate
from rlhf_core.models.lora_shape import LoraShape
from rlhf_core.models.merging import merge_saved
from rlhf_core.models.sequences import TokenSequence, collate
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32

IDS = torch.tensor([[10, 11, 12, 13]])


def trained(trunk: Trunk, role: Role) -> Trunk:
    trunk.add_role(role, 1)
    for parameter in trunk.parameters(role):
        torch.nn.init.normal_(parameter, std=0.1)
    return trunk


def test_merged_model_loads_in_plain_transformers_and_says_the_same(trunk: Trunk, tmp_path: Path):
    trained(trunk, Role.SFT)
    with torch.no_grad(), trunk.acting_as(Role.SFT) as model:
        expected = model(input_ids=IDS).logits
    save_merged(trunk, Role.SFT, tmp_path / "sft")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "sft")
    torch.testing.assert_close(plain(input_ids=IDS).logits, expected, atol=1e-4, rtol=1e-4)


def test_an_adapter_is_added_in_full_precision_and_rounded_once(tmp_path: Path):
    """The result is W + 2·B·A rounded to bf16; a sum in bf16 would lose half of small updates."""
    compute = replace(FP32, dtype=torch.bfloat16)
    trunk = trained(open_trunk("tiny-random", compute, 4), Role.SFT)
    place = "base_model.model.model.layers.0.mlp.up_proj"
    adapter = trunk.roles.weights(Role.SFT)
    base = open_trunk("tiny-random", compute, 4).language_model.state_dict()
    added = 2 * adapter[f"{place}.lora_B.weight"] @ adapter[f"{place}.lora_A.weight"]
    name = f"{place.removeprefix('base_model.model.')}.weight"
    save_merged(trunk, Role.SFT, tmp_path / "sft")
    saved = load_file(tmp_path / "sft" / "model.safetensors")[name]
    assert torch.equal(saved, (base[name].float() + added).bfloat16())


def test_an_adapter_has_the_scale_and_the_layers_that_were_chosen(tmp_path: Path):
    """W + (alpha / rank) · B A in the named layers alone, read back with its own shape."""
    shape = LoraShape(4, alpha=12.0, targets=("q_proj", "up_proj"))
    trunk = trained(open_trunk("tiny-random", FP32, shape), Role.POLICY)
    assert len(trunk.parameters(Role.POLICY)) == 2 * 2 * 2  # A and B, two layers, two blocks
    base = {name: w.clone() for name, w in trunk.language_model.state_dict().items()}
    adapter = trunk.roles.weights(Role.POLICY)
    place = "base_model.model.model.layers.0.self_attn.q_proj"
    added = 3 * adapter[f"{place}.lora_B.weight"] @ adapter[f"{place}.lora_A.weight"]
    save_role(trunk, Role.POLICY, tmp_path / "policy-1", Path(locate("tiny-random")))
    merge_saved(tmp_path / "policy-1", tmp_path / "out", FP32)
    merged = load_file(tmp_path / "out" / "model.safetensors")
    before = base["model.layers.0.self_attn.q_proj.base_layer.weight"]
    torch.testing.assert_close(merged["model.layers.0.self_attn.q_proj.weight"], before + added)
    k_proj = "model.layers.0.self_attn.k_proj.weight"
    assert torch.equal(merged[k_proj], base[k_proj])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (LoraShape(4, alpha=2.0), "has rank 4 and alpha 8, and the settings say 4 and 2"),
        (LoraShape(4, targets=("q_proj",)), "is of other layers than the trained ones"),
    ],
)
def test_an_adapter_of_another_shape_is_refused(
    trunk: Trunk, tmp_path: Path, shape: LoraShape, message: str
):
    """Its matrices would fit, and be added at another scale or in part."""
    trained(trunk, Role.POLICY)
    save_role(trunk, Role.POLICY, tmp_path / "policy", tmp_path)
    with pytest.raises(ModelNotFoundError, match=message):
        load_role(open_trunk("tiny-random", FP32, shape), Role.POLICY, tmp_path / "policy")


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # PEFT's own
def test_policy_loads_in_plain_peft_and_says_the_same(trunk: Trunk, tmp_path: Path):
    trained(trunk, Role.SFT)
    save_merged(trunk, Role.SFT, tmp_path / "sft")
    policy = trained(open_trunk(str(tmp_path / "sft"), FP32, 4), Role.POLICY)
    save_role(policy, Role.POLICY, tmp_path / "policy", tmp_path / "sft")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "sft")
    plain = PeftModel.from_pretrained(base, tmp_path / "policy")
    with torch.no_grad(), policy.acting_as(Role.POLICY) as model:
        torch.testing.assert_close(
            plain(input_ids=IDS).logits, model(input_ids=IDS).logits, atol=1e-5, rtol=1e-5
        )


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # PEFT's own
def test_an_adapter_and_its_base_can_be_moved_together(trunk: Trunk, tmp_path: Path, monkeypatch):
    """They load from any place, because the adapter names its base by a relative path."""
    models, moved = tmp_path / "here" / "models", tmp_path / "there" / "models"
    trained(trunk, Role.SFT)
    save_merged(trunk, Role.SFT, models / "sft-1")
    policy = trained(open_trunk(str(models / "sft-1"), FP32, 4), Role.POLICY)
    monkeypatch.chdir(tmp_path)
    save_role(policy, Role.POLICY, Path("here/models/policy-1"), Path("here/models/sft-1"))
    with torch.no_grad(), policy.acting_as(Role.POLICY) as model:
        expected = model(input_ids=IDS).logits
    models.parent.rename(moved.parent)
    adapter = json.loads((moved / "policy-1" / ADAPTER_CONFIG).read_text())
    assert adapter["base_model_name_or_path"] == "../sft-1"
    opened, role = load_saved(moved / "policy-1", FP32)
    with torch.no_grad(), opened.acting_as(role) as model:
        torch.testing.assert_close(model(input_ids=IDS).logits, expected, atol=1e-5, rtol=1e-5)
    merge_saved(Path("there/models/policy-1"), tmp_path / "out", FP32)
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    torch.testing.assert_close(whole(input_ids=IDS).logits, expected, atol=1e-4, rtol=1e-4)
    base = AutoModelForCausalLM.from_pretrained(moved / "sft-1")
    plain = PeftModel.from_pretrained(base, moved / "policy-1")
    with torch.no_grad():
        torch.testing.assert_close(plain(input_ids=IDS).logits, expected, atol=1e-5, rtol=1e-5)
    (moved / "sft-1").rename(moved / "gone")
    with pytest.raises(ModelNotFoundError, match=f"no model '{moved / 'sft-1'}'"):
        load_saved(moved / "policy-1", FP32)


def test_a_base_that_is_no_folder_keeps_its_name(tmp_path: Path):
    adapter = tmp_path / "policy"
    adapter.mkdir()
    for name in ("HuggingFaceTB/SmolLM2-135M-Instruct", "tiny-random", "/models/base"):
        assert base_name_from(adapter, Path(name)) == name
        (adapter / ADAPTER_CONFIG).write_text(json.dumps({"base_model_name_or_path": name}))
        assert adapter_base(adapter) == name
    (adapter / "within").mkdir()
    assert base_name_from(adapter, adapter / "within") == "./within"


def test_reward_model_reads_back_with_its_head(trunk: Trunk, tmp_path: Path):
    trained(trunk, Role.REWARD)
    save_role(trunk, Role.REWARD, tmp_path / "reward", tmp_path)
    batch = collate([TokenSequence((10, 11), (12, 13))], trunk.pad_id)
    other = open_trunk("tiny-random", FP32, 4)
    load_role(other, Role.REWARD, tmp_path / "reward")
    assert torch.equal(
        other.sequence_scores(Role.REWARD, batch), trunk.sequence_scores(Role.REWARD, batch)
    )
    assert sorted(path.name for path in (tmp_path / "reward").glob("*.safetensors")) == [
        "adapter_model.safetensors",
        "head.safetensors",
    ]


def test_several_heads_that_were_normalised_together_are_refused(trunk: Trunk, tmp_path: Path):
    """Earlier versions wrote the same file without metadata on normalisation."""
    trunk.add_role(Role.REWARD, 1, heads=2)
    save_role(trunk, Role.REWARD, tmp_path / "reward-1", tmp_path)
    load_role(open_trunk("tiny-random", FP32, 4), Role.REWARD, tmp_path / "reward-1")
    head = tmp_path / "reward-1" / "head.safetensors"
    save_file(load_file(head), head)
    with pytest.raises(ModelNotFoundError, match="reward-1: its 2 heads were normalised together"):
        load_role(open_trunk("tiny-random", FP32, 4), Role.REWARD, tmp_path / "reward-1")
    single = {name: value[:1].clone() for name, value in load_file(head).items()}
    save_file(single, head)
    load_role(open_trunk("tiny-random", FP32, 4), Role.REWARD, tmp_path / "reward-1")


@pytest.mark.parametrize("lora_rank", [4, None])
def test_a_policy_with_a_shared_critic_is_saved_and_read_without_it(
    tmp_path: Path, lora_rank: int | None
):
    trunk = trained(open_trunk("tiny-random", FP32, lora_rank), Role.REWARD)
    trained(trunk, Role.POLICY)
    trunk.copy_head(Role.REWARD, Role.POLICY)
    folder = tmp_path / "policy-1"
    save_role(trunk, Role.POLICY, folder, tmp_path)
    assert not (folder / "head.safetensors").exists()
    save_file(trunk.heads[Role.REWARD].state_dict(), folder / "head.safetensors")
    assert not is_reward_model(folder)  # a folder that an earlier version wrote
    other = open_trunk("tiny-random", FP32, lora_rank)
    load_role(other, Role.POLICY, folder)
    assert Role.POLICY not in other.heads
    batch = collate([TokenSequence((10, 11), (12, 13))], trunk.pad_id)
    expected = trunk.token_logprobs(Role.POLICY, batch, 1.0)
    torch.testing.assert_close(other.token_logprobs(Role.POLICY, batch, 1.0), expected)


def test_what_reads_back_differently_is_not_kept(
    trunk: Trunk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    trained(trunk, Role.REWARD)
    exact = artifacts.load_file
    monkeypatch.setattr(
        artifacts, "load_file", lambda path: {k: v * 1.5 for k, v in exact(path).items()}
    )
    with pytest.raises(TrainingError, match="the weights of reward read back differently"):
        save_role(trunk, Role.REWARD, tmp_path / "reward", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_merged_model_that_reads_back_differently_is_not_kept(
    trunk: Trunk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A bit of its final norm is flipped on the way to the disk."""
    trained(trunk, Role.SFT)
    write = artifacts.write_model

    def flip(model: PreTrainedModel, folder: Path) -> None:
        write(model, folder)
        weights = load_file(folder / "model.safetensors")
        weights["model.norm.weight"].view(torch.int32)[3] ^= 1
        save_file(weights, folder / "model.safetensors", {"format": "pt"})

    monkeypatch.setattr(artifacts, "write_model", flip)
    with pytest.raises(TrainingError, match=r"model\.norm\.weight read back differently"):
        save_merged(trunk, Role.SFT, tmp_path / "sft")
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_bf16_rounds_apart_are_equal_and_in_fp32_are_not(tmp_path: Path):
    """Two neighbours of 35 in bf16, as equal weights gave them on a busy machine."""
    kept, read = torch.tensor([35.0, -3.0]), torch.tensor([35.5, -3.0])
    _require_equal(tmp_path, kept, read, torch.bfloat16)
    by_fp32 = kept + torch.tensor([0.0054, 0.0])  # as SmolLM2's large activations rounded
    _require_equal(tmp_path, kept, by_fp32, torch.float32)
    for dtype, other in ((torch.float32, read), (torch.bfloat16, torch.tensor([37.0, -3.0]))):
        with pytest.raises(TrainingError, match="reads back differently"):
            _require_equal(tmp_path, kept, other, dtype)
    with pytest.raises(TrainingError, match="reads back differently"):
        _require_equal(tmp_path, kept, torch.full((2,), torch.nan), torch.bfloat16)
