from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, OPTConfig

from rlhf_core.algorithms.sft import train_sft
from rlhf_core.config.tree import SFTSettings
from rlhf_core.errors import ShapeError, TrainingError
from rlhf_core.models.artifacts import new_roles, open_trunk
from rlhf_core.models.device import Compute
from rlhf_core.models.loading import load_language_model, load_tokenizer
from rlhf_core.models.scalar_head import ScalarHead
from rlhf_core.models.sequences import Batch, TokenSequence, collate
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32


@pytest.fixture
def batch(trunk: Trunk) -> Batch:
    sequences = [TokenSequence((10, 11, 12), (13, 14)), TokenSequence((20,), (21, 22, 23))]
    return collate(sequences, trunk.pad_id)


def disturb(trunk: Trunk, role: Role) -> None:
    for parameter in trunk.parameters(role):
        torch.nn.init.normal_(parameter, std=0.2)


def test_a_fresh_role_says_what_the_reference_says(trunk: Trunk, batch: Batch):
    trunk.add_role(Role.POLICY, 1)
    policy = trunk.token_logprobs(Role.POLICY, batch, 1.0)
    assert torch.equal(policy, trunk.token_logprobs(Role.REFERENCE, batch, 1.0))


def test_training_a_role_changes_no_other(trunk: Trunk, batch: Batch):
    trunk.add_role(Role.POLICY, 1)
    trunk.add_role(Role.CRITIC, 2)
    before = (
        trunk.token_logprobs(Role.REFERENCE, batch, 1.0),
        trunk.token_values(Role.CRITIC, batch),
        trunk.token_logprobs(Role.POLICY, batch, 1.0),
    )
    disturb(trunk, Role.POLICY)
    assert torch.equal(before[0], trunk.token_logprobs(Role.REFERENCE, batch, 1.0))
    assert torch.equal(before[1], trunk.token_values(Role.CRITIC, batch))
    assert not torch.equal(before[2], trunk.token_logprobs(Role.POLICY, batch, 1.0))


def test_reference_is_the_untouched_model(trunk: Trunk, batch: Batch):
    plain = load_language_model("tiny-random", torch.float32, torch.device("cpu"))
    trunk.add_role(Role.POLICY, 1)
    disturb(trunk, Role.POLICY)
    ids = torch.tensor([[10, 11, 12, 13, 14]])
    with trunk.acting_as(Role.REFERENCE) as reference:
        found = reference(input_ids=ids).logits
    # Equal up to rounding: on some processors the order of a sum depends on the memory address.
    torch.testing.assert_close(found, plain(input_ids=ids).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("lora_rank", [4, None])
def test_after_training_the_reference_says_what_the_base_says(
    dtype: torch.dtype, lora_rank: int | None
):
    """The two are equal to the bit, with adapters and with separate models."""
    compute = Compute(torch.device("cpu"), dtype, 2048, "in tests")
    trunk, untouched = (open_trunk("tiny-random", compute, lora_rank) for _ in range(2))
    sequences = [TokenSequence((10, 11, 12), (13, 14)), TokenSequence((20,), (21, 22, 23))]
    settings = SFTSettings(epochs=3, learning_rate=1e-2)
    losses = [step.metrics["loss"] for step in train_sft(trunk, sequences, settings, seed=1)]
    assert losses[-1] < losses[0]
    batch = trunk.batch(sequences)
    base, reference, trained = (
        which.token_logprobs(role, batch, 1.0)
        for which, role in (
            (untouched, Role.REFERENCE),
            (trunk, Role.REFERENCE),
            (trunk, Role.SFT),
        )
    )
    assert torch.equal(reference, base)
    assert not torch.equal(trained, base)
    trunk.require_reference()


@pytest.mark.parametrize("new", ["new_trunk", "new_full_trunk"])
def test_a_reference_that_is_not_the_base_is_refused(new: str, request: pytest.FixtureRequest):
    """One weight of the base is changed slightly."""
    make: Callable[[], Trunk] = request.getfixturevalue(new)
    trunk = make()
    trunk.add_role(Role.POLICY, 1)
    trunk.require_reference()
    with torch.no_grad():
        next(trunk.language_model.base_model.layers.parameters()).view(-1)[0] += 1e-3
    with pytest.raises(TrainingError, match="reference no longer answers as the base model does"):
        trunk.require_reference()


def test_backward_reaches_the_role_alone(trunk: Trunk, batch: Batch):
    trunk.add_role(Role.POLICY, 1)
    trunk.add_role(Role.CRITIC, 2)
    trunk.token_logprobs(Role.POLICY, batch, 1.0).sum().backward()
    assert any(parameter.grad is not None for parameter in trunk.parameters(Role.POLICY))
    others = set(trunk.language_model.parameters()) - set(trunk.parameters(Role.POLICY))
    assert all(parameter.grad is None for parameter in others)
    assert all(parameter.dtype == torch.float32 for parameter in trunk.parameters(Role.POLICY))


def test_copied_role_is_equal_and_then_its_own(trunk: Trunk, batch: Batch):
    trunk.add_role(Role.REWARD, 1)
    disturb(trunk, Role.REWARD)
    trunk.copy_role(Role.REWARD, Role.CRITIC)
    values = trunk.token_values(Role.REWARD, batch)
    assert torch.equal(values, trunk.token_values(Role.CRITIC, batch))
    disturb(trunk, Role.CRITIC)
    assert torch.equal(values, trunk.token_values(Role.REWARD, batch))


def test_scalar_head_starts_small():
    """Deviation is 1/sqrt(H + 1) and bias 0, so first rewards are as large as one state's norm."""
    torch.manual_seed(0)
    head = ScalarHead(4095)
    assert head.linear.weight.std().item() == pytest.approx(1 / 64, rel=0.05)
    assert head.linear.bias.item() == 0.0
    assert head(torch.ones(2, 3, 4095, dtype=torch.bfloat16)).dtype == torch.float32


def test_rescaled_head_answers_in_deviations_from_the_mean():
    head = ScalarHead(8)
    states = torch.randn(50, 8)
    before = head(states)
    head.rescale(before.mean(dim=0, keepdim=True), before.std(dim=0, keepdim=True))
    after = head(states)
    torch.testing.assert_close(after, (before - before.mean()) / before.std(), atol=1e-5, rtol=1e-5)


def test_each_member_of_a_head_is_rescaled_by_its_own_mean_and_deviation():
    """2x + 1 with mean 5 and deviation 4 becomes (2x − 4)/4; −x with −2 and 1 becomes −x + 2."""
    head = ScalarHead(1, members=2)
    head.load_state_dict(
        {
            "linear.weight": torch.tensor([[2.0], [-1.0]]),
            "linear.bias": torch.tensor([1.0, 0.0]),
        }
    )
    head.rescale(torch.tensor([5.0, -2.0]), torch.tensor([4.0, 1.0]))
    found = head.member_scores(torch.tensor([[3.0], [0.0]]))
    expected = torch.tensor([[0.5, -1.0], [-1.0, 2.0]])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    with pytest.raises(ShapeError, match=r"mean \(1,\) .* one number a member, \(2,\)"):
        head.rescale(torch.ones(1), torch.ones(2))


def test_entropy_is_that_of_the_distribution_before_each_token(trunk: Trunk, batch: Batch):
    trunk.add_role(Role.POLICY, 1)
    entropy = trunk.token_logprobs_and_entropy(Role.POLICY, batch, 1.0)[1]
    logits = trunk.language_model(input_ids=torch.tensor([[20, 21, 22, 23]])).logits[0, :3]
    expected = torch.distributions.Categorical(logits=logits).entropy()
    torch.testing.assert_close(entropy[1], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("lora_rank", [4, None])
@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_nothing_drops_out_of_a_role_that_is_trained(is_checkpointed: bool, lora_rank: int | None):
    """OPT's layers apply dropout; transformers' checkpointing would set training mode."""
    config = OPTConfig(
        vocab_size=259,
        hidden_size=32,
        ffn_dim=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        word_embed_proj_dim=32,
        dropout=0.5,
        attention_dropout=0.5,
    )
    compute = replace(FP32, gradient_checkpointing=is_checkpointed)
    roles = new_roles(
        lambda dtype: AutoModelForCausalLM.from_config(config, dtype=dtype).eval(),
        compute,
        lora_rank,
    )
    trunk = Trunk(roles, load_tokenizer("tiny-random"), compute)
    trunk.add_role(Role.POLICY, 1)
    own = trunk.batch([TokenSequence((10, 11, 12), (13, 14))])
    first = trunk.token_logprobs(Role.POLICY, own, 1.0)
    assert torch.equal(first, trunk.token_logprobs(Role.POLICY, own, 1.0))
    with trunk.acting_as(Role.POLICY) as model:
        assert not any(module.training for module in model.modules())
