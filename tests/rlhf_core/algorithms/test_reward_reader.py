"""Signs that an answer is unlike those that a reward model learnt from."""

import math

import pytest
import torch

from rlhf_core.algorithms.reward_reader import DISAGREEMENT, DISTANCE, RewardReader
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk

LEARNT = [TokenSequence((5, 6), (7, 8)), TokenSequence((6, 5), (9,)), TokenSequence((9, 6), (7,))]


@pytest.fixture
def rewarded(trunk: Trunk) -> Trunk:
    trunk.add_role(Role.REWARD, seed=1, heads=3)
    return trunk


def features(trunk: Trunk, sequences: list[TokenSequence]) -> torch.Tensor:
    """The state at the last token of each, read one by one."""
    rows = [trunk.batch([sequence]) for sequence in sequences]
    return torch.cat([row.at_last(trunk.hidden_states(Role.REWARD, row)) for row in rows]).detach()


def test_disagreement_is_the_deviation_of_the_heads(rewarded: Trunk):
    read = RewardReader(rewarded).read(LEARNT)
    each = rewarded.heads[Role.REWARD].member_scores(features(rewarded, LEARNT)).detach()
    torch.testing.assert_close(read.heads, each, atol=1e-5, rtol=1e-5)
    spread = ((each - each.mean(1, keepdim=True)) ** 2).mean(1).sqrt()
    torch.testing.assert_close(read.signs[DISAGREEMENT], spread, atol=1e-5, rtol=1e-5)
    assert DISTANCE not in read.signs


def test_distance_is_one_less_the_greatest_cosine_to_an_answer_to_another_prompt(rewarded: Trunk):
    """To a prompt of the learnt answers, and to a new one."""
    asked = [TokenSequence((5, 6), (8, 8, 8)), TokenSequence((8, 8), (7, 8))]
    own, learnt = features(rewarded, asked), features(rewarded, LEARNT)
    cosines = torch.cosine_similarity(
        (own - learnt.mean(0))[:, None], (learnt - learnt.mean(0))[None], dim=2
    )
    wanted = torch.stack([1 - cosines[0, 1:].max(), 1 - cosines[1].max()])
    read = RewardReader(rewarded, LEARNT).read(asked)
    torch.testing.assert_close(read.signs[DISTANCE], wanted, atol=1e-4, rtol=1e-4)


def test_a_learnt_answer_is_at_no_distance_to_a_new_prompt_and_unknown_to_the_only_one(
    trunk: Trunk,
):
    """One head never disagrees, so it has no sign."""
    trunk.add_role(Role.REWARD, seed=1)
    one = RewardReader(trunk, LEARNT[:1]).read(LEARNT[:1])
    assert DISAGREEMENT not in one.signs
    assert math.isnan(one.signs[DISTANCE].item())
