from collections.abc import Callable

import pytest
import torch

from rlhf_core.algorithms.reward_model import (
    RankedCandidates,
    normalise,
    score_sequences,
    train_reward_model,
)
from rlhf_core.config.tree import RewardModelSettings
from rlhf_core.errors import TrainingError
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32
from tests.rlhf_core.algorithms.planted import planted_rankings, random_tokens

NewTrunk = Callable[[], Trunk]


def accuracy(trunk: Trunk, rankings: list[RankedCandidates]) -> float:
    sequences = [sequence for ranking in rankings for sequence in ranking.sequences]
    scores = score_sequences(trunk, sequences, Role.REWARD).view(-1, 2)
    return (scores[:, 1] > scores[:, 0]).float().mean().item()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_planted_preference_is_learnt_and_holds_for_new_prompts(trunk: Trunk, seed: int):
    """Half the trick is that it is one token among five, in the middle of the answer."""
    settings = RewardModelSettings(epochs=6, learning_rate=1e-2)
    steps = list(train_reward_model(trunk, planted_rankings(64, seed), settings, seed))
    assert steps[-1].metrics["loss"] < 0.3
    assert accuracy(trunk, planted_rankings(64, seed + 100)) > 0.95


def test_two_runs_from_one_seed_are_equal(new_trunk: NewTrunk):
    runs = [
        [
            step.metrics
            for step in train_reward_model(
                new_trunk(), planted_rankings(16, 1), RewardModelSettings(), seed=4
            )
        ]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


def test_microbatches_of_any_size_give_the_same_losses(new_trunk: NewTrunk):
    losses = []
    for tokens in (8, 60, 4096):
        trunk = new_trunk()
        trunk.compute = type(FP32)(FP32.device, FP32.dtype, tokens, "")
        settings = RewardModelSettings(prompts_per_step=4, epochs=2)
        steps = train_reward_model(trunk, planted_rankings(12, 1), settings, seed=1)
        losses.append([step.metrics["loss"] for step in steps])
    assert losses[0] == pytest.approx(losses[2], abs=1e-5)
    assert losses[1] == pytest.approx(losses[2], abs=1e-5)


def test_rankings_of_different_size_share_a_step(trunk: Trunk):
    generator = torch.Generator().manual_seed(0)
    rankings = []
    for size in (2, 3, 5):
        prompt = random_tokens(generator, 4)
        sequences = tuple(TokenSequence(prompt, random_tokens(generator, 3)) for _ in range(size))
        rankings.append(RankedCandidates(sequences, torch.ones(size, size).triu(diagonal=1)))
    (step,) = train_reward_model(trunk, rankings, RewardModelSettings(), seed=1)
    assert step.metrics["loss"] > 0


def test_normalised_references_have_mean_zero_and_deviation_one(trunk: Trunk):
    """And it is part of the head, so whoever has the head has the normalisation."""
    rankings = planted_rankings(16, 1)
    list(train_reward_model(trunk, rankings, RewardModelSettings(learning_rate=1e-2), seed=1))
    references = [ranking.sequences[0] for ranking in rankings]
    before = score_sequences(trunk, references, Role.REWARD)
    mean, deviation = normalise(trunk, references)
    after = score_sequences(trunk, references, Role.REWARD)
    assert mean == pytest.approx(before.mean().item(), abs=1e-5)
    torch.testing.assert_close(after, (before - mean) / deviation, atol=1e-4, rtol=0)
    assert after.mean().item() == pytest.approx(0.0, abs=1e-4)
    assert after.std().item() == pytest.approx(1.0, abs=1e-4)


def test_nothing_but_ties_is_an_error_that_names_the_query(trunk: Trunk):
    with pytest.raises(TrainingError, match="every pair is tied or unscored"):
        next(train_reward_model(trunk, [], RewardModelSettings(), seed=1))
