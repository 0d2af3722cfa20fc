import math

import pytest
import torch

from rlhf_core.algorithms.losses.policy_gradient import (
    adapt_coefficient,
    baseline_advantages,
    clipped_policy_loss,
    clipped_value_loss,
    generalized_advantages,
    kl_horizon,
    log_ratios,
    squared_kl_loss,
    token_rewards,
    truncated_importance_weights,
)
from rlhf_core.errors import ShapeError

MASK = torch.tensor([[True, True, True], [True, False, False]])


def test_score_lands_on_the_last_real_token_and_kl_on_every_one():
    """β = 0.1: row 0 is −0.1·(1, 2, 3) with 5 on its third token, row 1 ends at its first."""
    kl = torch.tensor([[1.0, 2.0, 3.0], [4.0, 9.0, 9.0]])
    rewards = token_rewards(torch.tensor([5.0, 7.0]), kl, MASK, coefficient=0.1)
    expected = torch.tensor([[-0.1, -0.2, 4.7], [6.6, 0.0, 0.0]])
    torch.testing.assert_close(rewards, expected, atol=1e-6, rtol=0)


def test_negative_kl_estimates_are_kept():
    """k1 may be negative. AlpacaFarm clamped it at 0, which biases the penalty."""
    rewards = token_rewards(
        torch.zeros(1), torch.tensor([[-2.0]]), torch.ones(1, 1, dtype=torch.bool), 0.5
    )
    assert rewards.item() == pytest.approx(1.0, abs=1e-6)


def test_advantages_by_hand():
    """γ = 0.5, λ = 0.5, rewards (0, 0, 4), values (1, 2, 3).

    δ₂ = 4 − 3 = 1, A₂ = 1; δ₁ = 0.5·3 − 2 = −0.5, A₁ = −0.5 + 0.25·1 = −0.25;
    δ₀ = 0.5·2 − 1 = 0, A₀ = 0.25·(−0.25) = −0.0625. Returns are A + V.
    """
    advantages, returns = generalized_advantages(
        torch.tensor([[0.0, 0.0, 4.0]]),
        torch.tensor([[1.0, 2.0, 3.0]]),
        torch.ones(1, 3, dtype=torch.bool),
        gamma=0.5,
        gae_lambda=0.5,
    )
    expected = torch.tensor([[-0.0625, -0.25, 1.0]])
    torch.testing.assert_close(advantages, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(returns, torch.tensor([[0.9375, 1.75, 4.0]]), atol=1e-6, rtol=0)


def test_nothing_beyond_the_last_token_reaches_a_row():
    """Row 1 has one token; the 50s behind it are the critic's values of padding."""
    advantages, returns = generalized_advantages(
        torch.tensor([[0.0, 0.0, 4.0], [1.0, 50.0, 50.0]]),
        torch.tensor([[1.0, 2.0, 3.0], [0.25, 50.0, 50.0]]),
        MASK,
        gamma=1.0,
        gae_lambda=0.95,
    )
    torch.testing.assert_close(advantages[1], torch.tensor([0.75, 0.0, 0.0]))
    torch.testing.assert_close(returns[1], torch.tensor([1.0, 0.0, 0.0]))


def test_undiscounted_returns_with_lambda_one_are_the_sum_to_come():
    """γ = λ = 1, so the critic cancels out: returns are 6, 5, 3 for any values."""
    _, returns = generalized_advantages(
        torch.tensor([[1.0, 2.0, 3.0]]),
        torch.randn(1, 3),
        torch.ones(1, 3, dtype=torch.bool),
        gamma=1.0,
        gae_lambda=1.0,
    )
    torch.testing.assert_close(returns, torch.tensor([[6.0, 5.0, 3.0]]), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [
        (1.0, 2.0, -2.0),
        (1.1, 2.0, -2.2),
        (1.5, 2.0, -2.4),  # clipped at 1.2: no further gain from a good token
        (0.5, 2.0, -1.0),  # not clipped: the worse of the two counts
        (0.5, -2.0, 1.6),  # clipped at 0.8
        (1.5, -2.0, 3.0),  # not clipped: a bad token that became likelier is penalised in full
    ],
)
def test_policy_loss_by_hand(ratio: float, advantage: float, loss: float):
    logprobs = torch.tensor([[-1.0]])
    old = logprobs - torch.log(torch.tensor([[ratio]]))
    mask = torch.ones(1, 1, dtype=torch.bool)
    log_ratio = log_ratios(logprobs, old, mask, "token")
    found = clipped_policy_loss(log_ratio, torch.tensor([[advantage]]), mask, 0.2, 0.2)
    assert found.item() == pytest.approx(loss, abs=1e-6)


def test_policy_gradient_makes_good_tokens_likelier():
    logprobs = torch.tensor([[-1.0, -1.0]], requires_grad=True)
    advantages = torch.tensor([[1.0, -1.0]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    log_ratio = log_ratios(logprobs, logprobs.detach(), mask, "token")
    clipped_policy_loss(log_ratio, advantages, mask, 0.2, 0.2).sum().backward()
    assert logprobs.grad is not None
    torch.testing.assert_close(logprobs.grad, torch.tensor([[-1.0, 1.0]]))


def test_policy_loss_of_padding_is_zero_even_where_its_ratio_would_overflow():
    mask = torch.tensor([[True, False]])
    log_ratio = log_ratios(torch.tensor([[0.0, 1000.0]]), torch.zeros(1, 2), mask, "token")
    loss = clipped_policy_loss(log_ratio, torch.ones(1, 2), mask, 0.2, 0.2)
    torch.testing.assert_close(loss, torch.tensor([[-1.0, 0.0]]))


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (1.25, 2.0, -2.5, -2.5),  # between the bounds, and so not clipped
        (1.30, 2.0, -2.56, 0.0),  # clipped at 1.28
        (0.85, -2.0, 1.7, 1.7),
        (0.75, -2.0, 1.6, 0.0),  # clipped at 0.8
        (1.30, -2.0, 2.6, 2.6),  # a bad token that became likelier
        (0.75, 2.0, -1.5, -1.5),
    ],
)
def test_both_bounds_of_the_clip_by_hand(
    ratio: float, advantage: float, loss: float, gradient: float
):
    """Bounds 0.8 and 1.28 (clip-higher); ∂ratio/∂log-ratio is the ratio."""
    log_ratio = torch.tensor([[math.log(ratio)]], requires_grad=True)
    mask = torch.ones(1, 1, dtype=torch.bool)
    found = clipped_policy_loss(log_ratio, torch.tensor([[advantage]]), mask, 0.2, 0.28)
    found.sum().backward()
    assert found.item() == pytest.approx(loss, abs=1e-6)
    assert log_ratio.grad is not None
    assert log_ratio.grad.item() == pytest.approx(gradient, abs=1e-6)


def test_the_ratio_of_a_sequence_is_the_geometric_mean_of_its_tokens():
    """(0.1 + 0.2 − 0.6) / 3 = −0.1 at each of three tokens; a row of one token keeps its own."""
    logprobs = torch.tensor([[-1.0, -1.0, -1.0], [-2.0, 7.0, 7.0]])
    old = torch.tensor([[-1.1, -1.2, -0.4], [-2.5, 0.0, 0.0]])
    found = log_ratios(logprobs, old, MASK, "sequence")
    expected = torch.tensor([[-0.1, -0.1, -0.1], [0.5, 0.0, 0.0]])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    of_tokens = torch.tensor([[0.1, 0.2, -0.6], [0.5, 0.0, 0.0]])
    torch.testing.assert_close(
        log_ratios(logprobs, old, MASK, "token"), of_tokens, atol=1e-6, rtol=0
    )


def test_the_gradient_of_a_sequences_loss_is_shared_by_its_tokens():
    """The ratio is s = e^−0.1, A = 2: the mean loss is −2s, its gradient −2s/3 at each token."""
    logprobs = torch.tensor([[-1.0, -1.0, -1.0]], requires_grad=True)
    old = torch.tensor([[-1.1, -1.2, -0.4]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    log_ratio = log_ratios(logprobs, old, mask, "sequence")
    loss = clipped_policy_loss(log_ratio, torch.full((1, 3), 2.0), mask, 0.2, 0.2).mean()
    loss.backward()
    assert loss.item() == pytest.approx(-2 * math.exp(-0.1), abs=1e-6)
    assert logprobs.grad is not None
    expected = torch.full((1, 3), -2 * math.exp(-0.1) / 3)
    torch.testing.assert_close(logprobs.grad, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("value", "old", "target", "loss"),
    [
        (1.0, 1.0, 2.0, 0.5),
        (1.5, 1.0, 2.0, 0.32),  # clipped to 1.2: ½·0.8² > ½·0.5²
        (0.0, 1.0, 2.0, 2.0),  # it moved away, so the unclipped loss is larger
    ],
)
def test_value_loss_by_hand(value: float, old: float, target: float, loss: float):
    found = clipped_value_loss(
        torch.tensor([[value]]),
        torch.tensor([[old]]),
        torch.tensor([[target]]),
        torch.ones(1, 1, dtype=torch.bool),
        0.2,
    )
    assert found.item() == pytest.approx(loss, abs=1e-6)


def test_importance_weights_by_hand():
    """Ratios ½, 1 and 4, of which the last is cut to 3; the padding's would be e^1000."""
    mask = torch.tensor([[True, True, True, False]])
    sampled = torch.tensor([[math.log(0.8), math.log(0.3), math.log(0.2), -1000.0]])
    logprobs = torch.tensor([[math.log(0.4), math.log(0.3), math.log(0.8), 0.0]])
    found = truncated_importance_weights(logprobs, sampled, mask, 3.0)
    torch.testing.assert_close(found, torch.tensor([[0.5, 1.0, 3.0, 0.0]]), atol=1e-6, rtol=0)


def test_squared_kl_loss_by_hand():
    """½·(−1 + 3)² = 2 at real tokens, for either sign, and 0 elsewhere."""
    found = squared_kl_loss(
        torch.tensor([[-1.0, -3.0, -1.0], [-1.0, 9.0, 9.0]]),
        torch.tensor([[-3.0, -1.0, -1.0], [-2.0, 5.0, 5.0]]),
        MASK,
    )
    torch.testing.assert_close(found, torch.tensor([[2.0, 2.0, 0.0], [0.5, 0.0, 0.0]]))


def test_the_squared_kl_loss_pulls_as_kl_does_in_expectation():
    """The expectation is over all tokens under the policy; with k1 the gradient would be 0."""
    logits = torch.tensor([0.3, -1.2, 0.8], requires_grad=True)
    reference = torch.tensor([0.5, 0.2, 0.3]).log()
    policy = logits.log_softmax(0)
    (exact,) = torch.autograd.grad((policy.exp() * (policy - reference)).sum(), logits)
    policy = logits.log_softmax(0)
    losses = squared_kl_loss(policy[None], reference[None], torch.ones(1, 3, dtype=torch.bool))[0]
    (found,) = torch.autograd.grad((policy.detach().exp() * losses).sum(), logits)
    assert exact.abs().min() > 0.01
    torch.testing.assert_close(found, exact, atol=1e-6, rtol=0)


def test_all_of_it_refuses_to_broadcast():
    flat, column, mask = torch.zeros(2), torch.zeros(2, 1), torch.ones(2, 3, dtype=torch.bool)
    table = torch.zeros(2, 3)
    with pytest.raises(ShapeError):
        token_rewards(flat, column, mask, 0.1)
    with pytest.raises(ShapeError):
        token_rewards(column, table, mask, 0.1)
    with pytest.raises(ShapeError):
        generalized_advantages(table, column, mask, 1.0, 0.95)
    with pytest.raises(ShapeError):
        clipped_policy_loss(table, column, mask, 0.2, 0.2)
    with pytest.raises(ShapeError):
        log_ratios(table, column, mask, "token")
    with pytest.raises(ShapeError):
        truncated_importance_weights(table, column, mask, 2.0)
    with pytest.raises(ShapeError):
        clipped_value_loss(table, table, column, mask, 0.2)
    with pytest.raises(ShapeError):
        squared_kl_loss(table, column, mask)


def test_leave_one_out_advantages_by_hand():
    """The means of the others are 4, 3.5, 1.5 for 1, 2, 6, and 1.5, 1.5, 0 for 0, 0, 3."""
    scores = torch.tensor([1.0, 2.0, 6.0, 0.0, 0.0, 3.0])
    found = baseline_advantages(scores, 3, "leave_one_out")
    torch.testing.assert_close(found, torch.tensor([-3.0, -1.5, 4.5, -1.5, -1.5, 3.0]))


def test_other_baselines_by_hand():
    scores = torch.tensor([1.0, 2.0, 6.0])
    torch.testing.assert_close(
        baseline_advantages(scores, 1, "batch_mean"), torch.tensor([-2.0, -1.0, 3.0])
    )
    torch.testing.assert_close(baseline_advantages(scores, 1, "none"), scores)


@pytest.mark.parametrize(("answers", "samples"), [(4, 1), (5, 2)])
def test_leave_one_out_needs_others_to_compare_with(answers: int, samples: int):
    with pytest.raises(ShapeError, match="leave_one_out"):
        baseline_advantages(torch.zeros(answers), samples, "leave_one_out")


@pytest.mark.parametrize(
    ("kl", "factor"),
    [(6.6, 1 + 0.1 * 0.01), (60.0, 1 + 0.2 * 0.01), (0.0, 1 - 0.2 * 0.01), (-3.0, 1 - 0.2 * 0.01)],
)
def test_coefficient_moves_with_the_error_and_no_further_than_a_fifth(kl: float, factor: float):
    """Ziegler's controller with target 6 nats, 100 answers and a horizon of 10,000."""
    found = adapt_coefficient(0.1, kl, target=6.0, answers=100, horizon=10_000)
    assert found == pytest.approx(0.1 * factor)


def test_an_answer_without_a_score_has_no_advantage_and_is_in_no_baseline():
    """0.1, 0.3, none, 0.8: each minus the mean of the other two, then minus the mean of all, 2.2/4.

    The second prompt has one score, and none to compare it with.
    """
    none = math.nan
    scores = torch.tensor([0.1, 0.3, none, 0.8, none, none, 1.0, none])
    expected = [-0.45, -0.15, 0.0, 0.6, 0.0, 0.0, 0.0, 0.0]
    found = baseline_advantages(scores, 4, "leave_one_out")
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    found = baseline_advantages(scores, 4, "batch_mean")
    expected = [-0.45, -0.25, 0.0, 0.25, 0.0, 0.0, 0.45, 0.0]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    assert baseline_advantages(scores, 4, "none").nan_to_num().equal(scores.nan_to_num())


def test_being_unreadable_on_a_hard_prompt_pays_nothing():
    """There are a hard prompt and two easy ones.

    Filled with the mean of all, it would have its prompt's best score and an advantage of 0.56.
    """
    scores = torch.tensor([0.1, 0.1, math.nan, 0.1, 0.9, 0.9, 0.9, 0.9, 0.8, 0.9, 0.8, 0.9])
    found = baseline_advantages(scores, 4, "leave_one_out")
    assert found[:4].tolist() == pytest.approx([0.0] * 4, abs=1e-6)


@pytest.mark.parametrize(("kl", "expected"), [(1e6, 0.12), (0.0, 0.08)])
def test_a_step_longer_than_the_horizon_moves_the_coefficient_by_a_fifth(
    kl: float, expected: float
):
    """There are 1000 answers with a horizon of 100: unbounded, 1 − 0.2·10 would be negative."""
    found = adapt_coefficient(0.1, kl, target=6.0, answers=1000, horizon=100)
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("answers", "horizon"), [(384, 33.353816), (2_000_000, 10_000)])
def test_the_horizon_is_the_trainings_own_and_at_most_the_papers(answers: int, horizon: float):
    """0.2 · 384 / 2.3025851 = 33.353816: 12 steps of 32 answers, the default."""
    assert kl_horizon(answers) == pytest.approx(horizon, abs=1e-5)
    most = 0.05
    for _ in range(12):
        most = adapt_coefficient(most, 1e9, 6.0, 32, kl_horizon(answers))
    assert most > (0.4 if answers == 384 else 0.05)


def test_the_controller_reaches_its_target_within_a_default_training():
    """The policy's KL is 1 / β nats, so the coefficient goes from 0.05 to 1/6, at the target."""
    coefficient, distances = 0.05, []
    for _ in range(12):
        distances.append(1 / coefficient)
        coefficient = adapt_coefficient(coefficient, distances[-1], 6.0, 32, kl_horizon(384))
    assert distances[0] == 20
    assert distances[-1] == pytest.approx(6.0, rel=0.05)
