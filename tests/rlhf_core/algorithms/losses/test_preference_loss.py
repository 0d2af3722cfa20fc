import math

import pytest
import torch
import torch.nn.functional as F

from rlhf_core.algorithms.losses.preference_loss import kwise_loss, pairwise_accuracy
from rlhf_core.errors import ShapeError

RANKED = torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
"""Candidate 0 beats 1 and 2, candidate 1 beats 2."""


def test_loss_of_three_ranked_rewards_by_hand():
    """Differences 1, 2, 1: (2·log(1 + e⁻¹) + log(1 + e⁻²)) / 3 = 0.2511504."""
    loss = kwise_loss(torch.tensor([1.0, 0.0, -1.0]), RANKED)
    assert loss.item() == pytest.approx(0.2511504, abs=1e-6)


def test_loss_rewards_the_right_order():
    """A flipped sign would swap these two."""
    right, wrong = torch.tensor([2.0, 0.0, -2.0]), torch.tensor([-2.0, 0.0, 2.0])
    assert kwise_loss(right, RANKED) < math.log(2) < kwise_loss(wrong, RANKED)


def test_loss_is_log_two_when_nothing_is_told_apart():
    assert kwise_loss(torch.zeros(3), RANKED).item() == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.parametrize("candidates", range(2, 10))
def test_kwise_loss_and_gradient_equal_the_mean_over_pairs(candidates: int):
    """This is the point of K-wise batches: the same gradient from K forward passes, not K·(K-1)."""
    rewards = torch.randn(candidates, requires_grad=True)
    preferences = torch.ones(candidates, candidates).triu(diagonal=1)
    (gradient,) = torch.autograd.grad(kwise_loss(rewards, preferences), rewards)
    pairs = [
        -F.logsigmoid(rewards[better] - rewards[worse])
        for better in range(candidates)
        for worse in range(better + 1, candidates)
    ]
    mean = torch.stack(pairs).mean()
    (expected,) = torch.autograd.grad(mean, rewards)
    assert kwise_loss(rewards, preferences).item() == pytest.approx(mean.item(), abs=1e-5)
    torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=0)


def test_ties_and_unscored_pairs_say_nothing():
    """A third candidate that is compared with no other must not change the loss."""
    preferences = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    alone = kwise_loss(torch.tensor([1.0, 0.0]), torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    beside = kwise_loss(torch.tensor([1.0, 0.0, 7.0]), preferences)
    assert beside.item() == pytest.approx(alone.item(), abs=1e-7)


def test_soft_label_is_least_at_its_own_log_odds():
    """The best difference for P(first better) = 0.75 is log 3."""
    preferences = torch.tensor([[0.0, 0.75], [0.25, 0.0]])
    losses = [
        kwise_loss(torch.tensor([difference, 0.0]), preferences).item()
        for difference in (math.log(3) - 0.1, math.log(3), math.log(3) + 0.1)
    ]
    assert losses[1] < min(losses[0], losses[2])


def test_rewards_of_a_head_that_forgot_to_squeeze_are_refused():
    with pytest.raises(ShapeError, match=r"\(3, 1\)"):
        kwise_loss(torch.zeros(3, 1), RANKED)
    with pytest.raises(ShapeError):
        kwise_loss(torch.zeros(2), RANKED)


def test_share_in_order_counts_ties_half():
    """Rewards 1, 1, 0 under 0 > 1 > 2: one tie, two right: (0.5 + 1 + 1) / 3."""
    share = pairwise_accuracy(torch.tensor([1.0, 1.0, 0.0]), RANKED)
    assert share.item() == pytest.approx(2.5 / 3, abs=1e-6)


def test_a_pair_at_one_half_is_neither_in_order_nor_out_of_it():
    preferences = torch.tensor([[0.0, 0.7, 0.5], [0.3, 0.0, 0.0], [0.5, 0.0, 0.0]])
    assert pairwise_accuracy(torch.tensor([1.0, 0.0, 9.0]), preferences).item() == 1.0


def test_a_tie_at_one_half_pulls_rewards_together():
    preferences = torch.tensor([[0.0, 0.5], [0.5, 0.0]])
    losses = [kwise_loss(torch.tensor([gap, 0.0]), preferences).item() for gap in (-1.0, 0.0, 1.0)]
    assert losses[1] == pytest.approx(math.log(2), abs=1e-6)
    assert losses[0] == pytest.approx(losses[2])
    assert losses[0] > losses[1]


def test_margin_shifts_the_loss_by_hand():
    """A difference of 2 with a margin of 0.5 costs as much as a difference of 1.5."""
    preferences = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    margins = torch.tensor([[0.0, 0.5], [-0.5, 0.0]])
    found = kwise_loss(torch.tensor([2.0, 0.0]), preferences, margins)
    assert found.item() == pytest.approx(math.log1p(math.exp(-1.5)), abs=1e-6)
