import math
from collections.abc import Sequence

import pytest
import torch

from rlhf_core.algorithms.reward_reader import RewardReader
from rlhf_core.algorithms.rewards import (
    RewardPart,
    as_rewards,
    reward_metrics,
    reward_model_score,
    weighted_sum,
)
from rlhf_core.algorithms.rollouts import Rollout
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk

ANSWERS = [
    Rollout(0, TokenSequence((5, 6), tuple(range(7, 7 + n))), "text", (0.0,) * n, "eos")
    for n in (1, 2, 3)
]


def lengths(rollouts: Sequence[Rollout]) -> torch.Tensor:
    return torch.tensor([float(len(rollout.tokens.response_ids)) for rollout in rollouts])


def unsure(rollouts: Sequence[Rollout]) -> torch.Tensor:
    return torch.tensor([math.nan, 0.0, 1.0])


def test_parts_are_weighed_and_added_by_hand():
    """2 · (1, 2, 3) + 10 · (none, 0, 1): if a part has no score, there is no sum."""
    found = as_rewards(
        weighted_sum({"long": RewardPart(2.0, lengths), "unsure": RewardPart(10.0, unsure)})(
            ANSWERS
        )
    )
    assert found.total.isnan().tolist() == [True, False, False]
    assert found.total[1:].tolist() == [4.0, 16.0]
    assert found.parts["unsure"].isnan().tolist() == [True, False, False]
    figures = reward_metrics(found)
    assert figures["reward_long"] == 2.0
    assert figures["reward_unsure"] == 0.5
    assert figures["unscored_unsure"] == pytest.approx(1 / 3)


def test_a_part_adds_nothing_to_what_it_is_not_asked_about():
    """2 · (1, 2, 3) + 10 · (–, 0, 1): a part that does not apply adds 0, and the others count."""
    parts = {
        "long": RewardPart(2.0, lengths),
        "unsure": RewardPart(10.0, unsure, lambda rollout: len(rollout.tokens.response_ids) > 1),
    }
    found = as_rewards(weighted_sum(parts)(ANSWERS))
    assert found.total.tolist() == [2.0, 4.0, 16.0]
    assert reward_metrics(found)["unscored_unsure"] == 0.0


def test_what_no_part_is_asked_about_has_no_score():
    part = RewardPart(2.0, lengths, lambda rollout: len(rollout.tokens.response_ids) > 1)
    assert as_rewards(weighted_sum({"long": part})(ANSWERS)).total.isnan().tolist() == [
        True,
        False,
        False,
    ]


def test_a_part_that_is_always_silent_has_a_share_and_no_mean():
    """A mean of 0 would be made up."""
    parts = {
        "long": RewardPart(1.0, lengths),
        "none": RewardPart(1.0, lambda r: torch.full((3,), math.nan)),
    }
    assert reward_metrics(as_rewards(weighted_sum(parts)(ANSWERS))) == {
        "reward_long": 2.0,
        "unscored_long": 0.0,
        "unscored_none": 1.0,
    }


def test_a_plain_function_is_a_reward():
    assert as_rewards(lengths(ANSWERS)).total.tolist() == [1.0, 2.0, 3.0]
    assert reward_metrics(as_rewards(lengths(ANSWERS))) == {}


def test_caution_takes_off_the_deviation_of_the_heads(trunk: Trunk):
    trunk.add_role(Role.REWARD, seed=1, heads=4)
    reader = RewardReader(trunk)
    mean = reward_model_score(reader, 0.0)(ANSWERS).total
    cautious = reward_model_score(reader, 2.0)(ANSWERS).total
    each = trunk.head_scores(Role.REWARD, trunk.batch([a.tokens for a in ANSWERS]))
    expected = each.mean(1) - 2 * each.std(1, correction=0)
    torch.testing.assert_close(cautious, expected.detach(), atol=1e-5, rtol=1e-5)
    assert (cautious < mean).all()
