from collections.abc import Callable

import pytest
import torch

from rlhf_core.algorithms.sft import accumulate_likelihood, train_sft
from rlhf_core.config.tree import SFTSettings
from rlhf_core.errors import TrainingError
from rlhf_core.models.sequences import Batch, TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32
from tests.rlhf_core.algorithms.planted import GOOD, random_tokens

NewTrunk = Callable[[], Trunk]


def demonstrations(count: int = 6) -> list[TokenSequence]:
    generator = torch.Generator().manual_seed(1)
    return [
        TokenSequence(random_tokens(generator, 5 + i), (*random_tokens(generator, 3 + i), 2))
        for i in range(count)
    ]


def first_loss(trunk: Trunk, sequences: list[TokenSequence]) -> float:
    settings = SFTSettings(prompts_per_step=len(sequences))
    return next(train_sft(trunk, sequences, settings, seed=1)).metrics["loss"]


def test_loss_is_that_of_transformers_with_the_prompt_masked(trunk: Trunk):
    """The same number comes from transformers with labels of -100 over the prompt."""
    sequences = demonstrations()
    total, tokens = 0.0, 0
    for sequence in sequences:
        ids = torch.tensor([[*sequence.prompt_ids, *sequence.response_ids]])
        labels = ids.clone()
        labels[0, : len(sequence.prompt_ids)] = -100
        loss = trunk.language_model(input_ids=ids, labels=labels).loss.item()
        total += loss * len(sequence.response_ids)
        tokens += len(sequence.response_ids)
    assert first_loss(trunk, sequences) == pytest.approx(total / tokens, abs=1e-5)


def test_gradient_is_that_of_transformers_with_the_prompt_masked(new_trunk: NewTrunk):
    """The norm of the gradient of the loss over all answer tokens, on an adapter that is not 0."""
    sequences, peer, ours = demonstrations(), new_trunk(), new_trunk()
    answers = sum(len(sequence.response_ids) for sequence in sequences)
    for trunk in (peer, ours):
        trunk.add_role(Role.SFT, 1)
        for parameter in trunk.parameters(Role.SFT):
            torch.nn.init.constant_(parameter, 0.02)
    with peer.acting_as(Role.SFT) as model:
        for sequence in sequences:
            ids = torch.tensor([[*sequence.prompt_ids, *sequence.response_ids]])
            labels = ids.clone()
            labels[0, : len(sequence.prompt_ids)] = -100
            loss = model(input_ids=ids, labels=labels).loss
            (loss * len(sequence.response_ids) / answers).backward()
    accumulate_likelihood(ours, Role.SFT, sequences)
    pairs = zip(peer.parameters(Role.SFT), ours.parameters(Role.SFT), strict=True)
    for wanted, found in pairs:
        torch.testing.assert_close(found.grad, wanted.grad, atol=1e-5, rtol=1e-4)


def test_a_step_goes_through_in_micro_batches_of_like_lengths_within_the_budget(
    trunk: Trunk, monkeypatch: pytest.MonkeyPatch
):
    """Rows of 10, 4, 8 and 10 tokens, budget 20: two rows of 10 fill it, and 4 is half of 8."""
    trunk.compute = FP32.with_microbatches_of(20)
    lengths = {5: 10, 6: 4, 7: 8, 8: 10}
    sequences = [TokenSequence((n, 9), (*[n] * (size - 3), 2)) for n, size in lengths.items()]
    shapes = []
    exact = trunk.token_logprobs

    def recording(role: Role, batch: Batch, temperature: float) -> torch.Tensor:
        shapes.append(tuple(batch.input_ids.shape))
        return exact(role, batch, temperature)

    monkeypatch.setattr(trunk, "token_logprobs", recording)
    settings = SFTSettings(prompts_per_step=4)
    assert len(list(train_sft(trunk, sequences, settings, seed=1))) == 1
    assert sorted(shapes) == [(1, 4), (1, 8), (2, 10)]


def test_learning_rate_starts_at_its_peak_and_falls_by_a_cosine_to_a_tenth(trunk: Trunk):
    """Five steps; 0.1 + 0.9 (1 + cos φ) / 2 at φ = 0, π/4, π/2, 3π/4, π, and no warm-up."""
    settings = SFTSettings(epochs=5, prompts_per_step=6, learning_rate=0.01)
    steps = train_sft(trunk, demonstrations(), settings, seed=1)
    rates = [step.metrics["learning_rate"] for step in steps]
    assert rates == pytest.approx([0.01, 0.00868198, 0.0055, 0.00231802, 0.001], abs=1e-8)


def test_microbatches_of_any_size_give_the_same_gradient(new_trunk: NewTrunk):
    """Losses are divided by the tokens of the whole step, so the size does not matter."""
    losses = []
    for tokens in (8, 40, 4096):
        trunk = new_trunk()
        trunk.compute = type(FP32)(FP32.device, FP32.dtype, tokens, "")
        steps = list(train_sft(trunk, demonstrations(), SFTSettings(epochs=3), seed=1))
        losses.append([step.metrics["loss"] for step in steps])
    assert losses[0] == pytest.approx(losses[2], abs=1e-5)
    assert losses[1] == pytest.approx(losses[2], abs=1e-5)


def test_demonstrations_become_likelier_and_the_reference_stays(trunk: Trunk):
    settings = SFTSettings(epochs=30, learning_rate=1e-2)
    before = {name: p.clone() for name, p in trunk.language_model.named_parameters()}
    losses = [step.metrics["loss"] for step in train_sft(trunk, demonstrations(), settings, 1)]
    assert losses[-1] < losses[0] - 0.3
    frozen = {n: p for n, p in trunk.language_model.named_parameters() if "lora" not in n}
    for name, parameter in frozen.items():
        torch.testing.assert_close(
            parameter, before[name.replace(".base_layer", "")], atol=0, rtol=0
        )
    assert trunk.parameters(Role.SFT)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_planted_answer_is_learnt_and_given_to_new_prompts(trunk: Trunk, seed: int):
    """One token follows all prompts; its probability rises from 1/259 to nearly its maximum.

    The last hidden state is √32 long and the tied embedding of the token about 1.1, so its logit is
    6.4 at most beside 258 others about 0: a probability of about 0.43, a loss of about 0.84.
    """
    generator = torch.Generator().manual_seed(seed)
    known, fresh = (
        [TokenSequence(random_tokens(generator, 5), (GOOD, GOOD)) for _ in range(count)]
        for count in (32, 8)
    )
    settings = SFTSettings(epochs=4, prompts_per_step=8, learning_rate=3e-2)
    steps = list(train_sft(trunk, known, settings, seed))
    assert steps[0].metrics["loss"] > 5
    assert steps[-1].metrics["loss"] < 0.9
    logprobs = trunk.token_logprobs(Role.SFT, trunk.batch(fresh), 1.0)
    assert logprobs.exp().mean() > 0.4


def test_two_runs_from_one_seed_are_equal(new_trunk: NewTrunk):
    runs = [
        [step.metrics for step in train_sft(new_trunk(), demonstrations(), SFTSettings(), seed=5)]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


def test_no_reference_answer_is_an_error_not_an_empty_run(trunk: Trunk):
    with pytest.raises(TrainingError, match="no prompt of the training split has a reference"):
        next(train_sft(trunk, [], SFTSettings(), seed=1))
