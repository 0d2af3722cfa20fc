import math
from collections.abc import Callable, Sequence
from itertools import islice

import pytest
import torch
from torch import nn

from rlhf_core.algorithms.rollouts import Rollout
from rlhf_core.algorithms.selection import BestWeights, Trial
from rlhf_core.algorithms.sft import SELECTION_SCORE, train_sft
from rlhf_core.config.tree import SamplingSettings, SFTSettings
from rlhf_core.errors import TrainingError
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from tests.rlhf_core.algorithms.planted import random_tokens, share_of_low

SAMPLING = SamplingSettings(max_new_tokens=4)
SETTINGS = SFTSettings(epochs=3, prompts_per_step=2, learning_rate=1e-2)
NewTrunk = Callable[[], Trunk]


def prompts(count: int, seed: int = 3) -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(seed)
    return [random_tokens(generator, 5) for _ in range(count)]


def demonstrations() -> list[TokenSequence]:
    """Return four demonstrations, so that an epoch has two steps."""
    return [TokenSequence(tokens[:3], (*tokens[3:], 2)) for tokens in prompts(4)]


def says(*scores: float) -> Callable[[Sequence[Rollout]], torch.Tensor]:
    """Return a reward that gives all answers of its n-th call the n-th score."""
    left = iter(scores)
    return lambda rollouts: torch.full((len(rollouts),), next(left))


def weights(trunk: Trunk) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in trunk.parameters(Role.SFT)]


@pytest.mark.parametrize(
    ("scores", "step"), [((0.1, 0.9, 0.3), 4), ((0.9, 0.9, 0.3), 2), ((-3.0, -2.0, -1.0), 6)]
)
def test_the_weights_of_the_best_epoch_are_kept_and_the_first_of_equals(
    new_trunk: NewTrunk, scores: tuple[float, ...], step: int
):
    """They equal, to the bit, those of a training without trials after the same number of steps."""
    plain = new_trunk()
    list(islice(train_sft(plain, demonstrations(), SETTINGS, 1), step))
    tried = new_trunk()
    trial = Trial(prompts(3, seed=4), says(*scores), SAMPLING, missing_eos_score=None)
    steps = list(train_sft(tried, demonstrations(), SETTINGS, 1, trial=trial))
    for kept, expected in zip(weights(tried), weights(plain), strict=True):
        assert torch.equal(kept, expected)
    found = {s.step: s.metrics.get(SELECTION_SCORE) for s in steps}
    wanted = dict(zip((2, 4, 6), scores, strict=True))
    assert found == {n: pytest.approx(wanted[n]) if n in wanted else None for n in range(1, 7)}


def test_trials_come_after_every_so_many_epochs_and_at_the_end():
    """Five epochs of two steps, a trial every second epoch: after steps 4, 8 and 10, the last."""
    trial = Trial([(5,)], says(), SAMPLING, every_epochs=2)
    assert [step for step in range(1, 11) if trial.is_due(step, 10, 2)] == [4, 8, 10]


def test_a_trial_is_the_mean_reward_of_the_roles_own_answers(trunk: Trunk):
    """Each prompt has one answer, the same in every trial unless the weights have changed."""
    trunk.add_role(Role.SFT, 1)
    answered: list[list[tuple[int, ...]]] = []

    def reward(rollouts: Sequence[Rollout]) -> torch.Tensor:
        assert [rollout.prompt_index for rollout in rollouts] == [0, 1, 2]
        answered.append([rollout.tokens.response_ids for rollout in rollouts])
        return torch.tensor([1.0, 2.0, 6.0])

    trial = Trial(prompts(3), reward, SAMPLING, missing_eos_score=None)
    assert trial.score(trunk, Role.SFT, 1).tolist() == [1.0, 2.0, 6.0]
    assert trial.score(trunk, Role.SFT, 1).tolist() == [1.0, 2.0, 6.0]
    for parameter in trunk.parameters(Role.SFT):
        nn.init.normal_(parameter, std=0.3)
    trial.score(trunk, Role.SFT, 1)
    assert answered[0] == answered[1]
    assert answered[0] != answered[2]


def test_trying_leaves_the_training_as_it_is(new_trunk: NewTrunk):
    losses = []
    for trial in (None, Trial(prompts(3, seed=4), share_of_low, SAMPLING)):
        steps = train_sft(new_trunk(), demonstrations(), SETTINGS, 1, trial=trial)
        losses.append([step.metrics["loss"] for step in steps])
    assert losses[0] == losses[1]


def test_a_reward_that_is_no_number_chooses_nothing(trunk: Trunk):
    trial = Trial(prompts(2), says(float("nan")), SAMPLING)
    with pytest.raises(TrainingError, match="the mean reward of the trial's answers is nan"):
        list(train_sft(trunk, demonstrations(), SETTINGS, 1, trial=trial))


def test_what_scored_best_survives_a_checkpoint():
    """A tie does not win after loading either."""
    parameter = nn.Parameter(torch.tensor([1.0]))
    best = BestWeights([parameter])
    assert best.offer(torch.tensor([0.7, 0.1]))
    parameter.data.fill_(2.0)
    read = BestWeights([parameter])
    read.load({name: value.clone() for name, value in best.state().items()})
    assert not read.offer(torch.tensor([0.1, 0.7]))
    read.restore()
    assert parameter.item() == 1.0


def test_weights_do_not_gain_by_answers_that_have_no_score():
    """2, 2 and −5, then 1, 1 and none: worse on both prompts with two scores.

    By the mean of the scored answers the later weights would be better: 1 against −1/3.
    """
    parameter = nn.Parameter(torch.tensor([1.0]))
    best = BestWeights([parameter])
    assert best.offer(torch.tensor([2.0, 2.0, -5.0]))
    assert not best.offer(torch.tensor([1.0, 1.0, math.nan]))
    assert not best.offer(torch.tensor([math.nan, math.nan, math.nan]))
    assert best.offer(torch.tensor([math.nan, 3.0, -5.0]))


def test_an_answer_of_a_trial_that_did_not_end_scores_no_more_than_one_that_did(trunk: Trunk):
    """A random model seldom ends within four tokens: 5 becomes −1, or −2, the lowest finished."""
    trunk.add_role(Role.SFT, 1)
    ended: list[bool] = []

    def reward(rollouts: Sequence[Rollout]) -> torch.Tensor:
        ended[:] = [rollout.finish_reason == "eos" for rollout in rollouts]
        return torch.tensor([-2.0 if has_ended else 5.0 for has_ended in ended])

    found = Trial(prompts(60), reward, SAMPLING).score(trunk, Role.SFT, 1)
    assert not all(ended)
    assert set(found.tolist()) == ({-2.0} if any(ended) else {-1.0})
