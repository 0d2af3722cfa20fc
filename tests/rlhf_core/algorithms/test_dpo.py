import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from rlhf_core.algorithms.dpo import preference_objective, train_dpo
from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.algorithms.scoring import sequence_logprobs
from rlhf_core.config.training import DPOSettings
from rlhf_core.errors import TrainingError
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.sequences import Batch, TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32
from tests.rlhf_core.algorithms.planted import SEEDS, planted_rankings

NewTrunk = Callable[[], Trunk]
FIRST_IS_BETTER = torch.tensor([[0.0, 1.0], [0.0, 0.0]])


def settings(**changes: object) -> DPOSettings:
    return DPOSettings.model_validate({"algorithm": "dpo", **changes})


def test_loss_of_one_pair_by_hand():
    """β·(2 − (−1)) = 0.3, and −log σ(0.3) = 0.5543552."""
    loss = preference_objective(torch.tensor([2.0, -1.0]), FIRST_IS_BETTER, settings(beta=0.1))
    assert loss.item() == pytest.approx(0.5543552, abs=1e-6)


def test_conservative_loss_by_hand():
    """0.9·0.5543552 + 0.1·(−log σ(−0.3)) = 0.9·0.5543552 + 0.1·0.8543552 = 0.5843552."""
    chosen = settings(beta=0.1, label_smoothing=0.1)
    loss = preference_objective(torch.tensor([2.0, -1.0]), FIRST_IS_BETTER, chosen)
    assert loss.item() == pytest.approx(0.5843552, abs=1e-6)


def test_ipo_loss_by_hand():
    """(3 − 1/(2·0.1))² = 4."""
    loss = preference_objective(
        torch.tensor([2.0, -1.0]), FIRST_IS_BETTER, settings(loss="ipo", beta=0.1)
    )
    assert loss.item() == pytest.approx(4.0, abs=1e-5)


def test_before_the_first_update_the_policy_is_the_reference(trunk: Trunk):
    trunk.add_role(Role.POLICY, 1)
    first = next(train_dpo(trunk, planted_rankings(8, 1), settings(), seed=1)).metrics
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert first["log_ratio"] == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("lora_rank", [4, None])
def test_the_first_margin_is_zero_to_the_bit_in_any_precision(
    dtype: torch.dtype, lora_rank: int | None, monkeypatch: pytest.MonkeyPatch
):
    """Answers of 40 tokens, in batches of several shapes.

    The rounding of bf16 differs by processor, so the test imitates it: each pass is shifted by the
    number of its tokens.
    """
    logprobs = Trunk.logprobs_and_entropy_from

    def rounded(
        self: Trunk, hidden: Any, role: Role, batch: Batch, *more: Any, **options: Any
    ) -> Any:
        found, entropy = logprobs(self, hidden, role, batch, *more, **options)
        return found + 1e-5 * batch.input_ids.numel() * batch.response_mask, entropy

    monkeypatch.setattr(Trunk, "logprobs_and_entropy_from", rounded)
    compute = replace(FP32, dtype=dtype, tokens_per_microbatch=300)
    trunk = open_trunk("tiny-random", compute, lora_rank)
    trunk.add_role(Role.POLICY, 1)
    generator = torch.Generator().manual_seed(1)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, 250, (count,), generator=generator).tolist())

    rankings = []
    for length in (20, 33, 47, 61, 75):
        prompt = ids(length)
        answers = tuple(TokenSequence(prompt, ids(40 - 3 * place)) for place in range(3))
        rankings.append(RankedCandidates(answers, torch.ones(3, 3).triu(1)))
    first = next(train_dpo(trunk, rankings, settings(prompts_per_step=5), seed=1)).metrics
    assert first["margin"] == 0.0
    assert first["log_ratio"] == 0.0
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)


def test_ties_neither_raise_nor_lower_accuracy_and_margin(trunk: Trunk):
    """Four rankings of equal rewards are half in order; four rankings of ties do not count."""
    trunk.add_role(Role.POLICY, 1)
    rankings = planted_rankings(8, 1)
    for ranking in rankings[4:]:
        ranking.preferences.fill_(0.5).fill_diagonal_(0.0)
    first = next(train_dpo(trunk, rankings, settings(prompts_per_step=8), seed=1)).metrics
    assert (first["ordered"], first["unordered"]) == (4.0, 4.0)
    assert first["accuracy"] == pytest.approx(0.5)
    assert first["margin"] == pytest.approx(0.0, abs=1e-5)


def test_loss_is_that_of_transformers_log_probabilities(trunk: Trunk):
    """The expected loss is the paper's equation 7 over plain forward passes, one row an answer."""
    trunk.add_role(Role.POLICY, 1)
    for parameter in trunk.parameters(Role.POLICY):
        torch.nn.init.normal_(parameter, std=0.1)
    rankings = planted_rankings(4, 1)
    losses = []
    for ranking in rankings:
        ratios = []
        for sequence in ranking.sequences:
            ids = torch.tensor([[*sequence.prompt_ids, *sequence.response_ids]])
            found = []
            for role in (Role.POLICY, Role.REFERENCE):
                with trunk.acting_as(role) as model, torch.no_grad():
                    logits = model(input_ids=ids).logits[0, :-1]
                chosen = torch.log_softmax(logits, -1).gather(1, ids[0, 1:, None])[:, 0]
                found.append(chosen[len(sequence.prompt_ids) - 1 :].sum())
            ratios.append(found[0] - found[1])
        losses.append(-F.logsigmoid(0.1 * (ratios[1] - ratios[0])))  # the second is preferred
    chosen = settings(prompts_per_step=len(rankings))
    (step,) = train_dpo(trunk, rankings, chosen, seed=1)
    assert step.metrics["loss"] == pytest.approx(torch.stack(losses).mean().item(), abs=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("loss", ["sigmoid", "ipo"])
def test_planted_preference_is_learnt_and_holds_for_new_prompts(trunk: Trunk, loss: str, seed: int):
    trunk.add_role(Role.POLICY, seed)
    chosen = settings(loss=loss, epochs=3, learning_rate=1e-2)
    list(train_dpo(trunk, planted_rankings(256, seed), chosen, seed))
    fresh = planted_rankings(64, seed + 100)
    sequences = [sequence for ranking in fresh for sequence in ranking.sequences]
    policy, reference = (
        sequence_logprobs(trunk, role, sequences) for role in (Role.POLICY, Role.REFERENCE)
    )
    ratios = (policy - reference).view(-1, 2)
    assert (ratios[:, 1] > ratios[:, 0]).float().mean() > 0.95


def test_microbatches_of_any_size_give_the_same_losses(new_trunk: NewTrunk):
    curves = []
    for tokens in (8, 60, 4096):
        trunk = new_trunk()
        trunk.compute = type(FP32)(FP32.device, FP32.dtype, tokens, "")
        trunk.add_role(Role.POLICY, 1)
        chosen = settings(prompts_per_step=4, epochs=2)
        steps = train_dpo(trunk, planted_rankings(12, 1), chosen, seed=1)
        curves.append([step.metrics["loss"] for step in steps])
    assert curves[0] == pytest.approx(curves[2], abs=1e-5)
    assert curves[1] == pytest.approx(curves[2], abs=1e-5)


def test_the_reference_is_read_in_the_very_batches_of_the_policy(
    trunk: Trunk, monkeypatch: pytest.MonkeyPatch
):
    """This holds after the first epoch too, when batches differ, so that rounding is the same."""
    trunk.add_role(Role.POLICY, 1)
    read: dict[Role, list[Batch]] = {Role.REFERENCE: [], Role.POLICY: []}
    exact = Trunk.token_logprobs

    def counted(self: Trunk, role: Role, batch: Batch, temperature: float) -> torch.Tensor:
        read[role].append(batch)
        return exact(self, role, batch, temperature)

    monkeypatch.setattr(Trunk, "token_logprobs", counted)
    list(train_dpo(trunk, planted_rankings(4, 1), settings(epochs=3), seed=1))
    assert sum(len(batch.response_ids) for batch in read[Role.POLICY]) == 3 * 8
    assert len(read[Role.REFERENCE]) == len(read[Role.POLICY])
    pairs = zip(read[Role.REFERENCE], read[Role.POLICY], strict=True)
    assert all(reference is policy for reference, policy in pairs)


def test_nothing_to_learn_from_is_an_error(trunk: Trunk):
    trunk.add_role(Role.POLICY, 1)
    with pytest.raises(TrainingError, match="every pair is tied"):
        next(train_dpo(trunk, [], settings(), seed=1))
