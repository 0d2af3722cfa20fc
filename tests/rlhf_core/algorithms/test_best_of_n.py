import math
from collections.abc import Sequence

import pytest
import torch

from rlhf_core.algorithms.best_of_n import _best, _describe, best_of_n_kl, train_best_of_n
from rlhf_core.algorithms.rollouts import Rollout, RolloutStep, cap_unfinished_scores, roll_out
from rlhf_core.config.training import BestOfNSettings
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.errors import TrainingError
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from tests.rlhf_core.algorithms.planted import SEEDS, random_tokens, share_of_low

SAMPLING = SamplingSettings(max_new_tokens=6)


def prompts(count: int) -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(2)
    return [random_tokens(generator, 5) for _ in range(count)]


def test_kl_of_the_best_of_two_and_of_eight():
    """The bounds are log 2 − 1/2 and log 8 − 7/8."""
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
    """Two prompts have eight answers each: one batch is drawn, then one update is made."""
    trunk.add_role(Role.POLICY, 1)
    settings = BestOfNSettings(algorithm="best_of_n", prompts_per_step=2, missing_eos_score=None)
    drawn, update = train_best_of_n(trunk, prompts(2), share_of_low, settings, SAMPLING, 1)
    assert isinstance(drawn, RolloutStep)
    assert len(drawn.rollouts) == 16
    assert drawn.kl == pytest.approx([0.0] * 16, abs=1e-4)  # the fresh policy is the reference
    assert drawn.metrics["best_score"] >= drawn.metrics["score"]
    assert "loss" in update.metrics


def test_an_answer_that_does_not_end_is_not_the_best(trunk: Trunk):
    """A random model seldom ends within six tokens, so answers score −3 and not their reward 1."""
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


def drawn(*answers: tuple[int, str]) -> list[Rollout]:
    """Return an answer for each prompt and finish reason; its one token is 6 + its index."""
    return [
        Rollout(prompt, TokenSequence((5,), (6 + place,)), "", (0.0,), reason)
        for place, (prompt, reason) in enumerate(answers)
    ]


def test_the_best_is_the_best_of_those_that_ended_and_have_a_score():
    """Prompt 0 has its second best, since the best was cut off; no answer to prompt 1 ended.

    Prompt 2 has the only answer with a score; no answer to prompt 3 has a score.
    """
    rollouts = drawn(
        (0, "length"), (0, "eos"), (1, "length"), (1, "length"),
        (2, "eos"), (2, "eos"), (3, "eos"), (3, "length"),
    )  # fmt: skip
    nan = math.nan
    scores = torch.tensor([9.0, -1.4, 2.0, 3.0, -5.0, nan, nan, 4.0])
    found = _best(rollouts, scores, 2)
    assert [sequence.response_ids for sequence in found] == [(7,), (10,)]
    found = _best(rollouts, scores, 2, must_end=False)
    assert [sequence.response_ids for sequence in found] == [(6,), (9,), (10,), (13,)]
    figures = _describe(rollouts, scores, 2, learnt=2)
    assert figures["left_out"] == 0.5
    assert figures["unscored"] == 2 / 8
    assert figures["best_score"] == pytest.approx((9 + 3 - 5 + 4) / 4)
    assert figures["score"] == pytest.approx((9 - 1.4 + 2 + 3 - 5 + 4) / 6)


def test_a_cut_off_answer_is_not_the_best_where_the_finished_ones_score_below_its_score():
    """Scores are −1.4, −3 and −1.6; the second was cut off, and at −1 it would be the best."""
    rollouts = drawn((0, "eos"), (0, "length"), (0, "eos"))
    scores = cap_unfinished_scores(torch.tensor([-1.4, -3.0, -1.6]), rollouts, -1.0)
    assert _best(rollouts, scores, 3)[0].response_ids == (6,)


def test_prompts_without_an_answer_to_learn_are_left_out_of_the_updates(trunk: Trunk):
    """One of four prompts has no score, so three are learnt, in steps of two and one."""
    trunk.add_role(Role.POLICY, 1)
    settings = BestOfNSettings(
        algorithm="best_of_n", n=2, prompts_per_step=2, missing_eos_score=None
    )

    def reward(rollouts: Sequence[Rollout]) -> torch.Tensor:
        silent = torch.tensor([rollout.prompt_index == 3 for rollout in rollouts])
        return share_of_low(rollouts).masked_fill(silent, math.nan)

    steps = list(train_best_of_n(trunk, prompts(4), reward, settings, SAMPLING, 1))
    assert [step.steps for step in steps] == [4] * 4
    assert [step.metrics["left_out"] for step in steps[:2]] == [0.0, 0.5]
    # The cosine ends with the last update that is made.
    assert steps[-1].metrics["learning_rate"] == pytest.approx(settings.learning_rate / 10)


def test_nothing_to_learn_is_an_error_that_says_what_to_look_at(trunk: Trunk):
    trunk.add_role(Role.POLICY, 1)
    settings = BestOfNSettings(algorithm="best_of_n", n=2, missing_eos_score=None)
    steps = train_best_of_n(
        trunk, prompts(2), lambda r: torch.full((len(r),), math.nan), settings, SAMPLING, 1
    )
    with pytest.raises(TrainingError, match="none of 2 prompts has an answer that ended and has"):
        list(steps)


def test_answers_of_a_policy_that_left_the_reference_have_their_distance(trunk: Trunk):
    trunk.add_role(Role.POLICY, 1)
    for parameter in trunk.parameters(Role.POLICY):
        torch.nn.init.normal_(parameter, std=0.2)
    settings = BestOfNSettings(algorithm="best_of_n", prompts_per_step=2)
    drawn = next(train_best_of_n(trunk, prompts(2), share_of_low, settings, SAMPLING, 1))
    assert isinstance(drawn, RolloutStep)
    assert sum(drawn.kl) / len(drawn.kl) > 0.01
