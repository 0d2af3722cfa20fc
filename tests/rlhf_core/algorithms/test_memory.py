"""Trainings that run out of memory, with the errors of the CPU's allocator or of CUDA."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from rlhf_core.algorithms.memory import MIN_TOKENS, run_within_memory
from rlhf_core.algorithms.reward_model import train_reward_model
from rlhf_core.algorithms.rollouts import roll_out
from rlhf_core.algorithms.sft import train_sft
from rlhf_core.config.training import OnlineSettings, PPOSettings, RLOOSettings
from rlhf_core.config.tree import RewardModelSettings, SFTSettings
from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models import roles
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.sequences import Batch, TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32
from tests.rlhf_core.algorithms.planted import planted_rankings
from tests.rlhf_core.algorithms.test_online import SAMPLING, settings, train

NewTrunk = Callable[[], Trunk]
ENOUGH = 64


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make backward passes over many tokens run out of memory; yield the tokens of each pass."""
    tried: list[int] = []
    backward = torch.Tensor.backward

    def bounded(self: torch.Tensor, *arguments: object) -> None:
        tokens = read[-1]
        tried.append(tokens)
        backward(self, *arguments)
        if tokens > ENOUGH:
            torch.empty(2**50)

    read: list[int] = []
    hidden_states = Trunk.hidden_states

    def noted(self: Trunk, role: object, batch: object) -> torch.Tensor:
        read.append(batch.input_ids.numel())  # type: ignore[attr-defined]
        return hidden_states(self, role, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.Tensor, "backward", bounded)
    monkeypatch.setattr(Trunk, "hidden_states", noted)
    return tried


def test_training_goes_on_with_less_at_once_to_the_same_losses(
    new_trunk: NewTrunk, small_memory: list[int], caplog: pytest.LogCaptureFixture
):
    """The partial gradients of the failed attempt are not counted."""
    rankings = planted_rankings(24, 1)
    settings = RewardModelSettings(prompts_per_step=12, epochs=2)
    trunk = new_trunk()
    steps = list(train_reward_model(trunk, rankings, settings, seed=1))
    assert max(small_memory) > ENOUGH
    assert small_memory[-1] <= ENOUGH
    assert trunk.compute.tokens_per_microbatch < FP32.tokens_per_microbatch
    assert "continuing with" in caplog.text
    roomy = new_trunk()
    roomy.compute = replace(FP32, tokens_per_microbatch=ENOUGH)
    expected = list(train_reward_model(roomy, rankings, settings, seed=1))
    for ours, theirs in zip(steps, expected, strict=True):
        assert ours.metrics == pytest.approx(theirs.metrics, abs=1e-5)


@pytest.mark.parametrize(
    ("prompts_per_step", "ptx"), [(6, None), (1, {"examples": 16})], ids=["rollouts", "texts"]
)
def test_ppo_goes_on_too(
    new_trunk: NewTrunk,
    small_memory: list[int],
    prompts_per_step: int,
    ptx: dict[str, int] | None,
):
    """Either the rollouts do not fit, or only the texts beside them."""
    texts = [TokenSequence((number,), (5, 6, 7, 8, 9, 10, 11)) for number in range(20, 36)]
    chosen = settings(
        PPOSettings,
        steps=2,
        prompts_per_step=prompts_per_step,
        minibatches=1,
        epochs=2,
        ptx=ptx,
    )
    trunk = new_trunk()
    found = train(trunk, chosen, texts=texts)
    assert max(small_memory) > ENOUGH
    roomy = new_trunk()
    roomy.compute = replace(FP32, tokens_per_microbatch=ENOUGH)
    for ours, theirs in zip(found, train(roomy, chosen, texts=texts), strict=True):
        assert ours.metrics == pytest.approx(theirs.metrics, abs=1e-4)


@pytest.mark.parametrize("training", [PPOSettings, RLOOSettings])
def test_old_log_probabilities_are_of_the_micro_batches_that_fitted(
    trunk: Trunk, small_memory: list[int], training: type[OnlineSettings]
):
    """Those of larger micro-batches differ in bf16 by more than is allowed before an update.

    The test imitates that rounding: each pass is shifted by the number of its tokens.
    """
    chosen = settings(training, steps=2, prompts_per_step=6, minibatches=1)
    with pytest.MonkeyPatch.context() as patch:
        logprobs = Trunk.logprobs_and_entropy_from

        def rounded(
            self: Trunk, hidden: Any, role: Role, batch: Batch, *more: Any, **options: Any
        ) -> Any:
            found, entropy = logprobs(self, hidden, role, batch, *more, **options)
            return found + 1e-3 * batch.input_ids.numel() * batch.response_mask, entropy

        patch.setattr(Trunk, "logprobs_and_entropy_from", rounded)
        steps = train(trunk, chosen)
    assert max(small_memory) > ENOUGH
    assert trunk.compute.tokens_per_microbatch < FP32.tokens_per_microbatch
    assert [step.metrics["first_log_ratio"] for step in steps] == [0.0, 0.0]


def test_what_never_fits_is_an_error_in_the_end(trunk: Trunk):
    def work() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    with pytest.raises(torch.OutOfMemoryError):
        run_within_memory(trunk, work)
    assert MIN_TOKENS <= trunk.compute.tokens_per_microbatch < 2 * MIN_TOKENS


def test_other_errors_pass(trunk: Trunk):
    def work() -> None:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        run_within_memory(trunk, work)
    assert trunk.compute.tokens_per_microbatch == FP32.tokens_per_microbatch


@pytest.mark.parametrize("lora_rank", [4, None])
def test_gradient_checkpointing_gives_the_same_losses_and_keeps_less(lora_rank: int | None):
    """The test counts the bytes saved for the backward pass instead of measuring the process."""
    losses, kept = [], []
    for is_on in (False, True):
        compute = replace(FP32, gradient_checkpointing=is_on)
        trunk = open_trunk("tiny-random", compute, lora_rank)
        bytes_kept = 0

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal bytes_kept
            bytes_kept += tensor.numel() * tensor.element_size()
            return tensor

        demonstrations = [ranking.sequences[0] for ranking in planted_rankings(16, 1)]
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            steps = list(train_sft(trunk, demonstrations, SFTSettings(prompts_per_step=8), seed=1))
        losses.append([step.metrics["loss"] for step in steps])
        kept.append(bytes_kept)
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    assert kept[1] < 0.6 * kept[0]


def test_gradient_checkpointing_leaves_sampling_its_cache():
    """A disabled cache, as with transformers' own switch, would leave only the last token."""
    drawn = []
    for is_on in (False, True):
        trunk = open_trunk("tiny-random", replace(FP32, gradient_checkpointing=is_on), lora=4)
        trunk.add_role(Role.POLICY, 1)
        answers = roll_out(trunk, [(10, 11, 12)], [0], [[1, 2]], SAMPLING)
        drawn.append([answer.tokens.response_ids for answer in answers])
    assert drawn[0] == drawn[1]


def test_a_model_without_layers_to_compute_again_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(roles, "GradientCheckpointingLayer", torch.nn.Conv2d)
    trunk = open_trunk("tiny-random", replace(FP32, gradient_checkpointing=True), lora=4)
    with pytest.raises(ModelNotFoundError, match="gradient_checkpointing to false"):
        trunk.add_role(Role.POLICY, 1)
