from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import pytest
import torch
import torch.nn.functional as F

from rlhf_core.algorithms import reward_model
from rlhf_core.algorithms.optimisation import Updater
from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.algorithms.reward_model import bootstrap_weights, normalise, train_reward_model
from rlhf_core.algorithms.scoring import head_scores, score_sequences
from rlhf_core.config.tree import RewardModelSettings
from rlhf_core.errors import TrainingError
from rlhf_core.models.sequences import TokenSequence, collate
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
    """The good token is one of five, in the middle of the answer."""
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


def test_rankings_of_two_to_nine_give_the_gradient_of_their_pairs(
    trunk: Trunk, monkeypatch: pytest.MonkeyPatch
):
    """One forward pass an answer in one step, compared with a row for each answer of every pair."""
    trunk.compute = replace(FP32, tokens_per_microbatch=100)
    generator = torch.Generator().manual_seed(0)
    rankings = []
    for size in range(2, 10):
        prompt = random_tokens(generator, 4)
        sequences = tuple(
            TokenSequence(prompt, random_tokens(generator, 2 + place % 3)) for place in range(size)
        )
        rankings.append(RankedCandidates(sequences, torch.ones(size, size).triu(diagonal=1)))
    found: list[torch.Tensor] = []

    def caught(updater: Updater) -> tuple[float, float]:
        found.extend(parameter.grad.clone() for parameter in updater.parameters)
        updater.clear_gradients()
        return 0.0, 0.0

    monkeypatch.setattr(Updater, "step", caught)
    (step,) = train_reward_model(trunk, rankings, RewardModelSettings(), seed=1)
    losses = []
    for ranking in rankings:
        pairs = [answer for pair in combinations(ranking.sequences, 2) for answer in pair]
        rows = collate(pairs, trunk.pad_id, is_shared=False)
        better, worse = trunk.sequence_scores(Role.REWARD, rows).view(-1, 2).unbind(1)
        losses.append(-F.logsigmoid(better - worse).mean())
    loss = torch.stack(losses).mean()
    loss.backward()
    assert step.metrics["loss"] == pytest.approx(loss.item(), abs=1e-6)
    expected = [parameter.grad for parameter in trunk.parameters(Role.REWARD)]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("idle", [0, 1])
def test_each_head_weighs_the_rankings_its_own_way(
    new_trunk: NewTrunk, monkeypatch: pytest.MonkeyPatch, idle: int
):
    """A head for which no ranking has weight keeps its initial weights; the other does not."""
    weights = torch.full((8, 2), 2.0)
    weights[:, idle] = 0.0
    monkeypatch.setattr(reward_model, "bootstrap_weights", lambda *_: weights)
    trained, fresh = new_trunk(), new_trunk()
    list(train_reward_model(trained, planted_rankings(8, 1), RewardModelSettings(heads=2), seed=1))
    fresh.add_role(Role.REWARD, 1, heads=2)
    after, before = (trunk.heads[Role.REWARD].linear.weight for trunk in (trained, fresh))
    assert torch.equal(after[idle], before[idle])
    assert not torch.equal(after[1 - idle], before[1 - idle])


def test_normalised_references_have_mean_zero_and_deviation_one(trunk: Trunk):
    """The normalisation is part of the head, so a copy of the head includes it."""
    rankings = planted_rankings(16, 1)
    list(train_reward_model(trunk, rankings, RewardModelSettings(learning_rate=1e-2), seed=1))
    references = [ranking.sequences[0] for ranking in rankings]
    before = score_sequences(trunk, references, Role.REWARD)
    figures = normalise(trunk, references)
    mean, deviation = figures["reference_mean"], figures["reference_deviation"]
    after = score_sequences(trunk, references, Role.REWARD)
    assert mean == pytest.approx(before.mean().item(), abs=1e-5)
    torch.testing.assert_close(after, (before - mean) / deviation, atol=1e-4, rtol=0)
    assert after.mean().item() == pytest.approx(0.0, abs=1e-4)
    assert after.std().item() == pytest.approx(1.0, abs=1e-4)
    assert "reference_disagreement" not in figures  # a single head has nothing to disagree with


def test_constants_and_scales_of_heads_are_no_disagreement(trunk: Trunk):
    """The loss ignores both: w, 2w + 3 and 5w − 40 rank alike, so they are the same head."""
    trunk.add_role(Role.REWARD, seed=1, heads=3)
    head = trunk.heads[Role.REWARD].linear
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0], [2.0], [5.0]]) * head.weight[0])
        head.bias.copy_(torch.tensor([0.0, 3.0, -40.0]))
    sequences = [ranking.sequences[0] for ranking in planted_rankings(24, 1)]
    references, others = sequences[:16], sequences[16:]
    assert normalise(trunk, references)["reference_disagreement"] == pytest.approx(0.0, abs=1e-5)
    each = head_scores(trunk, references, Role.REWARD)
    torch.testing.assert_close(each.mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(each.std(dim=0), torch.ones(3), atol=1e-5, rtol=0)
    apart = head_scores(trunk, others, Role.REWARD).std(dim=1, correction=0)
    torch.testing.assert_close(apart, torch.zeros(8), atol=1e-5, rtol=0)


def test_heads_that_were_trained_are_each_normalised(trunk: Trunk):
    settings = RewardModelSettings(epochs=3, learning_rate=1e-2, heads=5)
    list(train_reward_model(trunk, planted_rankings(16, 1), settings, seed=1))
    references = [ranking.sequences[0] for ranking in planted_rankings(32, 101)]
    figures = normalise(trunk, references)
    each = head_scores(trunk, references, Role.REWARD)
    torch.testing.assert_close(each.mean(dim=0), torch.zeros(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(each.std(dim=0), torch.ones(5), atol=1e-4, rtol=0)
    disagreement = each.std(dim=1, correction=0).mean().item()
    assert figures["reference_disagreement"] == pytest.approx(disagreement, abs=1e-4)


def test_a_single_reference_gives_a_mean_and_no_deviation(trunk: Trunk):
    trunk.add_role(Role.REWARD, seed=1, heads=2)
    sequences = [ranking.sequences[0] for ranking in planted_rankings(2, 1)]
    before = head_scores(trunk, sequences, Role.REWARD)
    assert normalise(trunk, sequences[:1])["reference_deviation"] == 1.0
    after = head_scores(trunk, sequences, Role.REWARD)
    torch.testing.assert_close(after, before - before[0], atol=1e-5, rtol=0)


def test_nothing_but_ties_is_an_error_that_names_the_query(trunk: Trunk):
    with pytest.raises(TrainingError, match="every pair is tied or unscored"):
        next(train_reward_model(trunk, [], RewardModelSettings(), seed=1))


def test_several_heads_learn_and_disagree_where_they_saw_nothing(trunk: Trunk):
    settings = RewardModelSettings(epochs=6, learning_rate=1e-2, heads=5)
    list(train_reward_model(trunk, planted_rankings(64, 1), settings, seed=1))
    rankings = planted_rankings(64, 101)
    assert accuracy(trunk, rankings) > 0.95
    sequences = [sequence for ranking in rankings for sequence in ranking.sequences]
    each = head_scores(trunk, sequences, Role.REWARD)
    assert each.shape == (128, 5)
    torch.testing.assert_close(each.mean(1), score_sequences(trunk, sequences, Role.REWARD))
    assert each.std(dim=1).min() > 0


def test_each_ranking_counts_one_on_average_for_each_head():
    weights = bootstrap_weights(20_000, 3, seed=1)
    assert weights.mean(0).tolist() == pytest.approx([1.0] * 3, abs=0.03)
    assert bootstrap_weights(4, 1, seed=1).tolist() == [[1.0]] * 4


def test_held_out_rankings_are_measured_as_it_goes_and_at_the_end(trunk: Trunk):
    settings = RewardModelSettings(measure_every=2, epochs=4, learning_rate=1e-2)
    held = planted_rankings(32, 101)
    steps = list(train_reward_model(trunk, planted_rankings(20, 1), settings, 1, held_out=held))
    measured = [step.step for step in steps if "holdout_accuracy" in step.metrics]
    assert measured == [2, 4, 6, 8, 10, 12]
    assert steps[-1].metrics["holdout_accuracy"] == pytest.approx(accuracy(trunk, held))


def test_rankings_of_ties_do_not_lower_the_accuracy(trunk: Trunk):
    """The planted half is learnt to over 95 %; counting ties as wrong would halve the accuracy."""
    rankings = planted_rankings(64, 1)
    for ranking in rankings[32:]:
        ranking.preferences.fill_(0.5).fill_diagonal_(0.0)
    settings = RewardModelSettings(epochs=8, learning_rate=1e-2, prompts_per_step=64)
    last = list(train_reward_model(trunk, rankings, settings, 1))[-1].metrics
    assert (last["ordered"], last["unordered"]) == (32.0, 32.0)
    assert last["accuracy"] > 0.75


def test_a_wanted_margin_is_learnt(new_trunk: NewTrunk):
    gaps = []
    for margin in (0.0, 5.0):
        trunk = new_trunk()
        rankings = [
            replace(ranking, margins=torch.tensor([[0.0, -1.0], [1.0, 0.0]]))
            for ranking in planted_rankings(64, 1)
        ]
        settings = RewardModelSettings(epochs=6, learning_rate=1e-2, margin=margin)
        list(train_reward_model(trunk, rankings, settings, seed=1))
        sequences = [sequence for ranking in rankings for sequence in ranking.sequences]
        scores = score_sequences(trunk, sequences, Role.REWARD).view(-1, 2)
        gaps.append((scores[:, 1] - scores[:, 0]).mean().item())
    assert gaps[1] > gaps[0] + 2


def test_a_row_an_answer_gives_the_same_losses(new_trunk: NewTrunk):
    losses = []
    for is_shared in (True, False):
        trunk = new_trunk()
        trunk.compute = replace(FP32, share_prompts=is_shared)
        settings = RewardModelSettings(prompts_per_step=4, epochs=2)
        steps = train_reward_model(trunk, planted_rankings(12, 1), settings, seed=1)
        losses.append([step.metrics["loss"] for step in steps])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
