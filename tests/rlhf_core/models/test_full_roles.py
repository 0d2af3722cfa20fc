"""Roles as separate models behave as adapters do, and load without PEFT."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models.artifacts import HEAD, load_role, open_trunk, save_merged, save_role
from rlhf_core.models.device import Compute
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32

NewTrunk = Callable[[], Trunk]
SEQUENCES = [TokenSequence((10, 11, 12), (13, 14)), TokenSequence((20,), (21, 22, 23))]
IDS = torch.tensor([[10, 11, 12, 13]])


def disturbed(trunk: Trunk, role: Role) -> Trunk:
    with torch.no_grad():
        for parameter in trunk.parameters(role):
            parameter += 0.02 * torch.randn_like(parameter)
    return trunk


def trained(trunk: Trunk, role: Role) -> Trunk:
    trunk.add_role(role, 1)
    return disturbed(trunk, role)


def logprobs(trunk: Trunk, role: Role) -> torch.Tensor:
    return trunk.token_logprobs(role, trunk.batch(SEQUENCES), 1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("share_prompts", [True, False])
def test_a_fresh_role_says_what_the_reference_says(dtype: torch.dtype, share_prompts: bool):
    """Equal to the bit, though the base's weights are rounded before use and the role's in use."""
    compute = Compute(torch.device("cpu"), dtype, 2048, "in tests", share_prompts)
    trunk = open_trunk("tiny-random", compute, None)
    trunk.add_role(Role.POLICY, 1)
    assert torch.equal(logprobs(trunk, Role.POLICY), logprobs(trunk, Role.REFERENCE))
    assert {parameter.dtype for parameter in trunk.parameters(Role.POLICY)} == {torch.float32}


def test_half_precision_is_near_to_full(new_full_trunk: NewTrunk):
    """This holds for every gradient too, which is in fp32."""
    half = open_trunk("tiny-random", Compute(FP32.device, torch.bfloat16, 2048, ""), None)
    found = []
    for trunk in (new_full_trunk(), half):
        trunk.add_role(Role.POLICY, 1)
        said = logprobs(trunk, Role.POLICY)
        said.sum().backward()
        found.append((said, [parameter.grad for parameter in trunk.parameters(Role.POLICY)]))
    torch.testing.assert_close(found[1][0], found[0][0], atol=0.1, rtol=0.05)
    for exact, rounded in zip(found[0][1], found[1][1], strict=True):
        assert rounded.dtype == torch.float32
        assert (rounded - exact).norm() < 0.05 * exact.norm()


def test_training_a_role_changes_no_other(new_full_trunk: NewTrunk):
    trunk = new_full_trunk()
    trunk.add_role(Role.POLICY, 1)
    trunk.add_role(Role.REWARD, 2)
    trunk.copy_role(Role.REWARD, Role.CRITIC)
    batch = trunk.batch(SEQUENCES)
    before = [trunk.token_values(role, batch) for role in (Role.REWARD, Role.CRITIC)]
    assert torch.equal(before[0], before[1])
    reference = logprobs(trunk, Role.REFERENCE)
    disturbed(trunk, Role.POLICY)
    disturbed(trunk, Role.CRITIC)
    assert torch.equal(logprobs(trunk, Role.REFERENCE), reference)
    assert not torch.equal(logprobs(trunk, Role.POLICY), reference)
    assert torch.equal(trunk.token_values(Role.REWARD, batch), before[0])
    assert not torch.equal(trunk.token_values(Role.CRITIC, batch), before[1])


def test_saved_policy_loads_in_plain_transformers_and_says_the_same(
    new_full_trunk: NewTrunk, tmp_path: Path
):
    for role, save in (
        (Role.POLICY, lambda trunk, folder: save_role(trunk, Role.POLICY, folder, tmp_path)),
        (Role.SFT, lambda trunk, folder: save_merged(trunk, Role.SFT, folder)),
    ):
        trunk = trained(new_full_trunk(), role)
        with torch.no_grad(), trunk.acting_as(role) as model:
            expected = model(input_ids=IDS).logits
        save(trunk, tmp_path / role)
        plain = AutoModelForCausalLM.from_pretrained(tmp_path / role)
        torch.testing.assert_close(plain(input_ids=IDS).logits, expected, atol=1e-5, rtol=1e-5)


def test_reward_model_reads_back_with_its_head(new_full_trunk: NewTrunk, tmp_path: Path):
    trunk = trained(new_full_trunk(), Role.REWARD)
    save_role(trunk, Role.REWARD, tmp_path / "reward", tmp_path)
    other = new_full_trunk()
    load_role(other, Role.REWARD, tmp_path / "reward")
    scores = [
        which.sequence_scores(Role.REWARD, which.batch(SEQUENCES)) for which in (other, trunk)
    ]
    assert torch.equal(scores[0], scores[1])
    assert Role.RELOADED not in trunk.heads


@pytest.mark.parametrize("new", ["new_trunk", "new_full_trunk"])
def test_a_reward_model_without_its_head_is_refused(
    new: str, request: pytest.FixtureRequest, tmp_path: Path
):
    """Otherwise a training would silently learn from a random head."""
    trunk = trained(request.getfixturevalue(new)(), Role.REWARD)
    save_role(trunk, Role.REWARD, tmp_path / "reward", tmp_path)
    (tmp_path / "reward" / HEAD).unlink()
    with pytest.raises(ModelNotFoundError, match=r"is no reward model: it holds no head"):
        load_role(trunk, Role.REWARD, tmp_path / "reward")
