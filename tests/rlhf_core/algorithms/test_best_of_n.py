import math

import pytest
import torch

from rlhf_core.algorithms.best_of_n import best_of_n_kl, train_best_of_n
from rlhf_core.algorithms.rollouts import RolloutStep, roll_out
from rlhf_core.config.training import BestOfNSettings
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.models.trunk import Role, Trunk
from tests.rlhf_core.algorithms.planted import SEEDS, random_tokens, share_of_low

SAMPLING = SamplingSettings(max_new_tokens=6)


def prompts(count: int) -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(2)
    return [random_tokens(generator, 5) for _ in range(count)]


def test_kl_of_the_best_of_two_and_of_eight():
    """By hand: log 2 − 1/2, and log 8 − 7/8."""
    assert best_of_n_kl(2) == pytest.approx(math.log(2) - 0.5)
    assert best_of_n_kl(8) == pytest.approx(1.2044415, abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_planted_reward_is_learnt(trunk: Trunk, seed: int):
    trunk.add_role(Role.POLICY, seed)
    settings = BestOfNSettings(
        algorithm="best_of_n",
        n=32,
        epochs=10,
        prompts_per_step=8,
        learning_rate=3e-2,
        missing_eos_score=None,
    )
    tokens = prompts(128)

    def mean_reward() -> torch.Tensor:
        seeds = [list(range(8))] * len(tokens)
        return share_of_low(roll_out(trunk, tokens, range(len(tokens)), seeds, SAMPLING)).mean()

    before = mean_reward()
    steps = list(train_best_of_n(trunk, tokens, share_of_low, settings, SAMPLING, seed))
    assert mean_reward() > before + 0.03
    assert [step.step for step in steps] == list(range(1, steps[0].steps + 1))


def test_what_is_learnt_was_drawn_before_the_first_update(trunk: Trunk):
    """Two prompts, eight answers each: one batch is drawn, then one update is made."""
    trunk.add_role(Role.POLICY, 1)
    settings = BestOfNSettings(algorithm="best_of_n", prompts_per_step=2)
    drawn, update = train_best_of_n(trunk, prompts(2), share_of_low, settings, SAMPLING, 1)
    assert isinstance(drawn, RolloutStep)
    assert len(drawn.rollouts) == 16
    assert drawn.kl == pytest.approx([0.0] * 16, abs=1e-4)  # the fresh policy is the reference
    assert drawn.metrics["best_score"] >= drawn.metrics["score"]
    assert "loss" in update.metrics


def test_an_answer_that_does_not_end_is_not_the_best(trunk: Trunk):
    """A random model seldom ends within six tokens, and then has −3 and not its reward of 1."""
    trunk.add_role(Role.POLICY, 1)
    settings = BestOfNSettings(algorithm="best_of_n", prompts_per_step=2, missing_eos_score=-3.0)
    steps = train_best_of_n(
        trunk, prompts(2), lambda r: torch.ones(len(r)), settings, SAMPLING, seed=1
    )
    drawn = next(steps)
    assert isinstance(drawn, RolloutStep)
    ended = [rollout.finish_reason == "eos" for rollout in drawn.rollouts]
    assert not all(ended)
    assert drawn.scores == tuple(1.0 if is_ended else -3.0 for is_ended in ended)


def test_answers_of_a_policy_that_left_the_reference_have_their_distance(trunk: Trunk):
    trunk.add_role(Role.POLICY, 1)
    for parameter in trunk.parameters(Role.POLICY):
        torch.nn.init.normal_(parameter, std=0.2)
    settings = BestOfNSettings(algorithm="best_of_n", prompts_per_step=2)
    drawn = next(train_best_of_n(trunk, prompts(2), share_of_low, settings, SAMPLING, 1))
    assert isinstance(drawn, RolloutStep)
    assert sum(drawn.kl) / len(drawn.kl) > 0.01
