"""A base in 4 bits answers as bitsandbytes' dequantised weights do, and is never merged into."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel

from flows.planning.speed import measure_speed
from rlhf_core.algorithms.checkpoints import NO_CHECKPOINTS, Checkpoints
from rlhf_core.algorithms.online import train_online
from rlhf_core.algorithms.optimisation import TrainingStep
from rlhf_core.algorithms.sft import train_sft
from rlhf_core.config.training import PPOSettings
from rlhf_core.config.tree import SamplingSettings, SFTSettings
from rlhf_core.errors import ConfigError, ModelNotFoundError
from rlhf_core.models import artifacts
from rlhf_core.models.artifacts import (
    load_role,
    load_saved,
    new_roles,
    open_trunk,
    save_merged,
    save_role,
)
from rlhf_core.models.device import Compute
from rlhf_core.models.kernels.nf4 import QuantisedLinear, is_quantised, whole
from rlhf_core.models.loading import load_language_model, load_tokenizer, locate
from rlhf_core.models.lora_shape import LoraShape
from rlhf_core.models.merging import merge_saved
from rlhf_core.models.quantisation import quantise
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32
from tests.gpu_check.box import stir
from tests.rlhf_core.algorithms.planted import share_of_low

BF16 = replace(FP32, dtype=torch.bfloat16)
NF4 = LoraShape(4, quantization="nf4")
TEXTS = [TokenSequence((5, 6, 7), (8, 9, 2)), TokenSequence((10,), (11, 12, 2))]
needs_bitsandbytes = pytest.mark.extra("bitsandbytes")


def quantised(compute: Compute = FP32, lora: LoraShape = NF4) -> Trunk:
    return open_trunk("tiny-random", compute, lora)


def dequantised_model(dtype: torch.dtype) -> PreTrainedModel:
    """Return the tiny model with linear layers that bitsandbytes rounded and made whole again."""
    from bitsandbytes import functional

    model = load_language_model("tiny-random", dtype, FP32.device)
    for layer in model.modules():
        if type(layer) is nn.Linear and layer is not model.get_output_embeddings():
            packed = functional.quantize_4bit(
                layer.weight.detach(), compress_statistics=True, quant_type="nf4"
            )
            layer.weight.data = functional.dequantize_4bit(*packed)
    return model


def dequantised(compute: Compute, lora: LoraShape | int = 4) -> Trunk:
    roles = new_roles(dequantised_model, compute, lora)
    return Trunk(roles, load_tokenizer("tiny-random"), compute)


def logprobs(trunk: Trunk, role: Role) -> Tensor:
    return trunk.token_logprobs(role, trunk.batch(TEXTS), 1.0)


def with_policy(trunk: Trunk) -> Trunk:
    trunk.add_role(Role.POLICY, 1)
    stir(trunk, Role.POLICY, 1, scale=0.3)
    return trunk


def copy_adapter(source: Trunk, target: Trunk) -> None:
    """Give a trunk the adapter of another's policy."""
    pairs = zip(target.parameters(Role.POLICY), source.parameters(Role.POLICY), strict=True)
    with torch.no_grad():
        for own, other in pairs:
            own.copy_(other)


@needs_bitsandbytes
@pytest.mark.parametrize(
    ("compute", "tolerance"), [(FP32, 1e-6), (BF16, 1e-6)], ids=["fp32", "bf16"]
)
@pytest.mark.parametrize("targets", [None, ("q_proj", "up_proj")])
def test_log_probabilities_and_gradients_are_those_of_the_dequantised_weights(
    compute: Compute, tolerance: float, targets: tuple[str, ...] | None
):
    """The same products of the same numbers, also of layers without an adapter."""
    found = []
    ours = with_policy(quantised(compute, replace(NF4, targets=targets)))
    theirs = with_policy(dequantised(compute, LoraShape(4, targets=targets)))
    copy_adapter(ours, theirs)  # PEFT draws it in the precision of the base
    for trunk in (ours, theirs):
        with torch.no_grad():
            reference = logprobs(trunk, Role.REFERENCE)
        policy = logprobs(trunk, Role.POLICY)
        policy.sum().backward()
        assert not torch.equal(policy, reference)
        found.append((reference, policy, [p.grad for p in trunk.parameters(Role.POLICY)]))
    torch.testing.assert_close(found[0], found[1], atol=tolerance, rtol=1e-5)


@needs_bitsandbytes
def test_a_weight_is_off_by_at_most_half_a_step_of_its_block():
    """The widest gap of NF4's levels is 0.304 of the largest weight; 8 bits round the scale."""
    torch.manual_seed(3)
    weight = torch.randn(32, 128)
    layer = QuantisedLinear(weight, None, FP32.device)
    dense = whole(layer.weight, layer.state)
    assert layer.weight.dtype == torch.uint8
    assert layer.weight.numel() == weight.numel() // 2
    largest = weight.view(-1, 64).abs().amax(dim=1, keepdim=True)
    assert ((dense - weight).view(-1, 64).abs() <= 0.17 * largest).all()
    assert not torch.equal(dense, weight)


@needs_bitsandbytes
def test_linear_layers_but_the_output_embedding_are_rounded():
    model = quantised().language_model
    packed = [name for name, m in model.named_modules() if isinstance(m, QuantisedLinear)]
    assert len(packed) == 2 * 7
    assert type(model.get_output_embeddings()) is nn.Linear
    floats = [p for p in model.parameters() if p.dtype != torch.uint8]
    assert {parameter.dtype for parameter in floats} == {torch.float32}


@needs_bitsandbytes
def test_recomputed_activations_have_the_same_gradients():
    found = []
    for is_on in (False, True):
        trunk = with_policy(quantised(replace(FP32, gradient_checkpointing=is_on)))
        logprobs(trunk, Role.POLICY).sum().backward()
        found.append([parameter.grad for parameter in trunk.parameters(Role.POLICY)])
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=1e-5)


def sft(trunk: Trunk, checkpoints: Checkpoints = NO_CHECKPOINTS) -> Iterator[TrainingStep]:
    settings = SFTSettings(epochs=3, prompts_per_step=1, learning_rate=1e-2)
    return train_sft(trunk, TEXTS, settings, 1, checkpoints)


@needs_bitsandbytes
def test_training_changes_adapters_alone_and_resumes_to_the_bit(tmp_path: Path):
    new = partial(quantised, lora=replace(NF4, dropout=0.2))
    whole_run, untouched = new(), new()
    losses = [step.metrics["loss"] for step in sft(whole_run)]
    assert losses[-1] < losses[0]
    ours, theirs = (
        {n: p for n, p in trunk.language_model.named_parameters() if p.dtype == torch.uint8}
        for trunk in (whole_run, untouched)
    )
    assert len(ours) == 14
    for one, other in zip(ours.values(), theirs.values(), strict=True):
        assert torch.equal(one, other)
    checkpoints = Checkpoints(tmp_path / "kept", every=1)
    list(islice(sft(new(), checkpoints), 3))
    resumed = new()
    list(sft(resumed, checkpoints))
    ends = zip(whole_run.parameters(Role.SFT), resumed.parameters(Role.SFT), strict=True)
    assert all(torch.equal(one, other) for one, other in ends)


@needs_bitsandbytes
@pytest.mark.parametrize("compute", [FP32, BF16], ids=["fp32", "bf16"])
def test_ppo_samples_from_the_rounded_base_and_passes_its_check_of_the_ratio(compute: Compute):
    trunk = quantised(compute)
    trunk.add_role(Role.CRITIC, 1)
    trunk.add_role(Role.POLICY, 1)
    settings = PPOSettings.model_validate(
        {"steps": 2, "prompts_per_step": 2, "samples_per_prompt": 2}
    )
    prompts = [(5, 6, 7), (8, 9), (10, 11, 12), (13,)]
    sampling = SamplingSettings(max_new_tokens=4)
    steps = list(train_online(trunk, prompts, share_of_low, settings, sampling, 1))
    assert steps[0].metrics["first_ratio"] == pytest.approx(1.0, abs=1e-2)
    trunk.require_reference()


@needs_bitsandbytes
def test_an_adapter_is_merged_into_the_whole_weights(tmp_path: Path):
    """So that no model is rounded twice, once here and again where it is trained further."""
    trunk, plain = with_policy(quantised(BF16)), open_trunk("tiny-random", BF16, 4)
    plain.add_role(Role.POLICY, 1)
    copy_adapter(trunk, plain)
    save_merged(trunk, Role.POLICY, tmp_path / "ours")
    save_merged(plain, Role.POLICY, tmp_path / "theirs")
    found, expected = (
        load_file(tmp_path / name / "model.safetensors") for name in ("ours", "theirs")
    )
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert {weight.dtype for weight in found.values()} == {torch.bfloat16}
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    assert not hasattr(merged.config, "quantization_config")
    assert not is_quantised(merged)


@needs_bitsandbytes
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # PEFT's own
def test_a_saved_adapter_reads_back_and_loads_onto_the_whole_base(tmp_path: Path):
    trunk = with_policy(quantised())
    base = Path(locate("tiny-random"))
    save_role(trunk, Role.POLICY, tmp_path / "policy-1", base)
    again = quantised()
    load_role(again, Role.POLICY, tmp_path / "policy-1")
    with torch.no_grad():
        assert torch.equal(logprobs(again, Role.POLICY), logprobs(trunk, Role.POLICY))
        plain = PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(base, dtype="float32"), tmp_path / "policy-1"
        )
        saved, role = load_saved(tmp_path / "policy-1", FP32)
        ids = torch.tensor([[5, 6, 7, 8]])
        with saved.acting_as(role) as model:
            torch.testing.assert_close(model(ids).logits, plain(ids).logits, atol=1e-5, rtol=1e-4)
    report = merge_saved(tmp_path / "policy-1", tmp_path / "merged", FP32)
    assert report.divergence_nats < 1e-4
    assert report.parameters == sum(p.numel() for p in plain.base_model.model.parameters()) - sum(
        p.numel() for n, p in plain.named_parameters() if "lora_" in n
    )


@needs_bitsandbytes
def test_a_plan_measures_the_speed_of_a_quantised_model():
    assert measure_speed("tiny-random", FP32, NF4).training > 0


@needs_bitsandbytes
@pytest.mark.parametrize("dequantised", [(), ("bitsandbytes",)])
def test_a_model_stored_in_4_bits_is_refused_by_name(
    tmp_path: Path, dequantised: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
):
    """Also if transformers might have dequantised it, and did not."""
    monkeypatch.setattr(artifacts, "DEQUANTISED", dequantised)
    config = AutoConfig.from_pretrained(locate("tiny-random"), hidden_size=128, head_dim=32)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "whole")
    stored = AutoModelForCausalLM.from_pretrained(
        tmp_path / "whole",
        quantization_config=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
        device_map="cpu",
    )
    stored.save_pretrained(tmp_path / "stored")
    load_tokenizer("tiny-random").save_pretrained(tmp_path / "stored")
    with pytest.raises(ModelNotFoundError, match=r"bitsandbytes.*set policy\.quantization: nf4"):
        open_trunk(str(tmp_path / "stored"), FP32, 4)


@pytest.fixture
def without_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)


@pytest.mark.usefixtures("without_bitsandbytes")
def test_without_the_package_the_extra_is_named():
    with pytest.raises(ConfigError, match=r"quantization: nf4 needs `pip install 'solon\[qlora\]'"):
        quantised()


def test_a_model_without_linear_layers_is_refused(monkeypatch: pytest.MonkeyPatch):
    """As GPT-2, whose layers are of another kind."""
    model = load_language_model("tiny-random", torch.float32, FP32.device)
    named: Callable[[], Iterator[tuple[str, nn.Module]]] = lambda: iter(())  # noqa: E731
    monkeypatch.setattr(model, "named_modules", named)
    with pytest.raises(ModelNotFoundError, match="no linear layers to quantise; remove policy"):
        quantise(model, FP32.device)
