"""The adapters of an SFT model and its policy as one, which plain PEFT loads onto the base."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlhf_core.errors import ModelNotFoundError, TrainingError
from rlhf_core.models import joined_adapters
from rlhf_core.models.artifacts import load_role, open_trunk, save_merged, save_role
from rlhf_core.models.joined_adapters import write_joined
from rlhf_core.models.loading import locate
from rlhf_core.models.lora_shape import LoraShape
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32
from tests.gpu_check.box import stir

pytestmark = pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing:FutureWarning"  # PEFT's own
)
IDS = torch.arange(3, 11)[None]
SFT, POLICY = LoraShape(3, alpha=5.0), LoraShape(2, targets=("q_proj", "up_proj"))
"""The policy has fewer layers, another rank and another scale."""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with an SFT model and a policy on it, both other than what they began with."""
    trunk = trained(open_trunk("tiny-random", FP32, SFT), Role.SFT)
    save_merged(trunk, Role.SFT, tmp_path / "sft-1", base="tiny-random")
    policy = trained(open_trunk(str(tmp_path / "sft-1"), FP32, POLICY), Role.POLICY)
    save_role(policy, Role.POLICY, tmp_path / "policy-1", tmp_path / "sft-1")
    return tmp_path


def trained(trunk: Trunk, role: Role) -> Trunk:
    trunk.add_role(role, 1)
    stir(trunk, role, 1, scale=0.1)
    return trunk


def logits(model: Callable[..., object]) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits  # type: ignore[attr-defined]


def answers(folder: Path, shape: LoraShape, base: Path) -> torch.Tensor:
    """Return the logits of a role on its SFT model."""
    trunk = open_trunk(str(base), FP32, shape)
    load_role(trunk, Role.POLICY, folder)
    with trunk.acting_as(Role.POLICY) as model:
        return logits(model)


@pytest.mark.parametrize("is_compared", [True, False])
def test_peft_loads_the_policy_onto_the_model_that_the_line_began_with(
    models: Path, is_compared: bool
):
    compute = FP32 if is_compared else None
    report = write_joined(models / "policy-1", models / "out", compute)
    expected = answers(models / "policy-1", POLICY, models / "sft-1")
    base = AutoModelForCausalLM.from_pretrained(locate("tiny-random"), dtype="float32")
    before = logits(base)
    found = logits(PeftModel.from_pretrained(base, models / "out"))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert (found - before).abs().max() > 0.1
    assert report.rank == SFT.rank + POLICY.rank
    assert (report.divergence_nats is None) is not is_compared
    if is_compared:
        assert report.divergence_nats == pytest.approx(0.0, abs=1e-5)
    assert AutoTokenizer.from_pretrained(models / "out")("Hello")["input_ids"]


def test_an_sft_model_is_an_adapter_too(models: Path):
    write_joined(models / "sft-1", models / "out", FP32)
    plain = AutoModelForCausalLM.from_pretrained(models / "sft-1", dtype="float32")
    base = AutoModelForCausalLM.from_pretrained(locate("tiny-random"), dtype="float32")
    found = logits(PeftModel.from_pretrained(base, models / "out"))
    torch.testing.assert_close(found, logits(plain), atol=1e-4, rtol=1e-4)


def test_a_line_that_began_with_an_adapter_joins_that_one_as_well(models: Path):
    """Its base is that of the adapter, which PEFT can load; three ranks are added."""
    start = models / "policy-1"
    trunk = trained(open_trunk(str(start), FP32, SFT), Role.SFT)
    save_merged(trunk, Role.SFT, models / "sft-2", base=str(start))
    report = write_joined(models / "sft-2", models / "out", FP32)
    assert report.rank == SFT.rank + POLICY.rank + SFT.rank
    assert report.base == locate("tiny-random")


def test_the_config_names_the_base_that_it_is_told(models: Path):
    write_joined(models / "policy-1", models / "out", None, base="owner/name")
    config = LoraConfig.from_pretrained(str(models / "out"))
    assert config.base_model_name_or_path == "owner/name"
    assert (config.r, config.lora_alpha) == (5, 5)


def test_full_weights_are_no_adapter(models: Path):
    full = open_trunk("tiny-random", FP32, None)
    full.add_role(Role.SFT, 1)
    save_merged(full, Role.SFT, models / "sft-3", base="tiny-random")
    with pytest.raises(ModelNotFoundError, match="holds no adapter: its weights were trained in"):
        write_joined(models / "sft-3", models / "out", FP32)


def test_an_sft_model_without_its_adapter_is_refused(models: Path):
    (models / "sft-1" / "adapter" / "adapter_config.json").unlink()
    with pytest.raises(ModelNotFoundError, match="its SFT model sft-1 keeps no adapter"):
        write_joined(models / "policy-1", models / "out", FP32)
    assert not (models / "out").exists()


def test_an_adapter_that_answers_otherwise_is_not_written(
    models: Path, monkeypatch: pytest.MonkeyPatch
):
    """As if the factors of the first had been forgotten."""
    join = joined_adapters._join
    monkeypatch.setattr(
        joined_adapters, "_join", lambda chain, out, base: join(chain[1:], out, base)
    )
    with pytest.raises(TrainingError, match="joins wrongly"):
        write_joined(models / "policy-1", models / "out", FP32)
    assert not (models / "out").exists()
