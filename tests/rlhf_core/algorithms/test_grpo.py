"""GRPO and its variants: gradients against a plain loop over answers, and the draws of a step."""

import logging
import math
import statistics
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from rlhf_core.algorithms import drawing
from rlhf_core.algorithms.drawing import PromptStream
from rlhf_core.algorithms.online import _start, _targets, train_online
from rlhf_core.algorithms.optimisation import Updater
from rlhf_core.algorithms.policy_update import Targets, minibatch_plan, update
from rlhf_core.algorithms.rollouts import Experience, Rollout, RolloutStep, collect_experience
from rlhf_core.config.training import GRPOSettings
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.errors import TrainingError
from rlhf_core.models.sequences import TokenSequence, pad
from rlhf_core.models.trunk import Role, Trunk
from tests.rlhf_core.algorithms.planted import random_tokens, share_of_low
from tests.rlhf_core.algorithms.ragged import disturb, ragged_rollouts

NewTrunk = Callable[[], Trunk]
SAMPLING = SamplingSettings(max_new_tokens=6)
NONE = math.nan
SCORES = torch.tensor([0.5, 2.0, -1.0, -1.0, NONE, 0.3, 1.0, 0.2])
"""Of the ragged answers: the second prompt's do not differ, the third has one score alone."""
SHIFTS = [
    [0.008], [-0.009, 0.003, -0.009, -0.001],
    [0.004, -0.004], [0.002],
    [0.0, 0.0, 0.0], [-0.003, 0.003],
    [0.008, 0.001, 0.006], [-0.008, -0.002],
]  # fmt: skip
"""What is added to the log-probabilities at rollout, and so taken off the log-ratios."""
TIGHT = {"clip_range": 0.002, "clip_range_high": 0.004}
VARIANTS = {
    "grpo": {"kl": {"coefficient": 0.2}},
    "reward": {"kl": {"coefficient": 0.2, "place": "reward"}},
    "dr_grpo": {"divide_by_deviation": False, "aggregation": "constant"},
    "dapo": {"aggregation": "token", "dynamic_sampling": 1},
    "gspo": {"ratio": "sequence", "clip_range": 0.001, "clip_range_high": 0.002},
}


def settings(**changes: object) -> GRPOSettings:
    defaults = {
        "algorithm": "grpo", "steps": 1, "prompts_per_step": 2, "samples_per_prompt": 2,
        "minibatches": 1, "missing_eos_score": None, "max_grad_norm": 1e9,
    }  # fmt: skip
    return GRPOSettings.model_validate({**defaults, **changes})


def train(
    trunk: Trunk, chosen: GRPOSettings, reward: Callable[[Sequence[Rollout]], Tensor]
) -> list[RolloutStep]:
    trunk.add_role(Role.POLICY, 1)
    generator = torch.Generator().manual_seed(2)
    prompts = [random_tokens(generator, 4 + index) for index in range(6)]
    return list(train_online(trunk, prompts, reward, chosen, SAMPLING, 1))


def caught_gradients(monkeypatch: pytest.MonkeyPatch) -> list[list[Tensor]]:
    """Return a list that receives the gradients of each update in place of the optimizer."""
    found: list[list[Tensor]] = []

    def caught(updater: Updater) -> tuple[float, float]:
        found.append([parameter.grad.clone() for parameter in updater.parameters])
        updater.clear_gradients()
        updater.taken += 1
        return 0.0, 0.0

    monkeypatch.setattr(Updater, "step", caught)
    return found


def plain_advantages(scores: list[float], chosen: GRPOSettings) -> list[float]:
    """Return the advantages of one group by Python's own statistics."""
    known = [score for score in scores if not math.isnan(score)]
    if len(known) < 2:
        return [0.0] * len(scores)
    scale = statistics.stdev(known) + 1e-4 if chosen.divide_by_deviation else 1.0
    mean = statistics.mean(known)
    return [0.0 if math.isnan(score) else (score - mean) / scale for score in scores]


def plain_loss(
    logprobs: list[Tensor], experience: Experience, scores: Tensor, chosen: GRPOSettings
) -> Tensor:
    """Return the loss of two answers a prompt, answer by answer and token by token."""
    lengths = experience.mask.sum(dim=1).tolist()
    kl = [experience.kl[row, :length] for row, length in enumerate(lengths)]
    if chosen.kl.place == "reward":
        scores = scores - chosen.kl.coefficient * torch.stack([each.sum() for each in kl])
    advantages = [
        each
        for first in range(0, len(scores), 2)
        for each in plain_advantages(scores[first : first + 2].tolist(), chosen)
    ]
    rows = [row for row in range(len(scores)) if not scores[row].isnan()]
    if chosen.dynamic_sampling:
        rows = [row for row in rows if advantages[row] != 0]
    low, high = 1 - chosen.clip_bounds[0], 1 + chosen.clip_bounds[1]
    total = torch.zeros(())
    for row in rows:
        old = experience.logprobs[row, : lengths[row]]
        losses = []
        for at in range(lengths[row]):
            change = logprobs[row] - old
            ratio = (change.mean() if chosen.ratio == "sequence" else change[at]).exp()
            gain = min(ratio * advantages[row], ratio.clamp(low, high) * advantages[row])
            distance = logprobs[row][at] - (old[at] - kl[row][at])
            penalty = chosen.kl.coefficient * distance**2 / 2 if chosen.kl.place == "loss" else 0
            losses.append(penalty - gain)
        divisor = {
            "answer": lengths[row] * len(rows),
            "token": sum(lengths[row] for row in rows),
            "constant": SAMPLING.max_new_tokens * len(rows),
        }[chosen.aggregation]
        total = total + sum(losses) / divisor
    return total


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_update_has_the_gradient_of_a_plain_loop_over_its_answers(
    new_trunk: NewTrunk, monkeypatch: pytest.MonkeyPatch, variant: str
):
    """Some ratios are beyond either bound, on either side of 0; one answer has no score."""
    chosen = settings(**{**TIGHT, **VARIANTS[variant]})
    trunk, rollouts = new_trunk(), ragged_rollouts()
    trunk.add_role(Role.POLICY, 1)
    disturb(trunk, Role.POLICY)
    training = _start(trunk, chosen, SAMPLING)
    experience = collect_experience(trunk, rollouts, minibatch_plan(rollouts, 1), 1.0)
    noise = pad(SHIFTS, 0.0)
    experience = Experience(
        **{
            **vars(experience),
            "logprobs": experience.logprobs + noise,
            "kl": experience.kl + noise,  # the reference stays
        }
    )
    is_learnt = ~SCORES.isnan()
    if variant == "dapo":
        is_learnt &= torch.tensor([1, 1, 0, 0, 0, 0, 1, 1]).bool()
    plan = minibatch_plan(rollouts, 1, is_learnt.nonzero()[:, 0].tolist())
    found = caught_gradients(monkeypatch)
    report = update(training, plan, experience, _targets(experience, SCORES, training))
    batch = trunk.batch([rollout.tokens for rollout in rollouts])
    padded = trunk.token_logprobs(Role.POLICY, batch, 1.0)
    logprobs = [padded[row, : len(r.tokens.response_ids)] for row, r in enumerate(rollouts)]
    loss = plain_loss(logprobs, experience, SCORES, chosen)
    loss.backward()
    assert report["policy_loss"] == pytest.approx(loss.item(), abs=1e-6)
    assert report["clipped_low"] > 0
    assert report["clipped_high"] > 0
    assert max(gradient.abs().max() for gradient in found[0]) > 1e-3
    for gradient, parameter in zip(found[0], trunk.parameters(Role.POLICY), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("change", "low", "high"), [(0.008, 0, 5 / 16), (-0.008, 11 / 16, 0)])
def test_clipped_tokens_count_where_the_clip_takes_their_gradient(
    trunk: Trunk, change: float, low: float, high: float
):
    """All 16 ratios are beyond 1.004, or below 0.998. Five tokens are good, and eleven bad."""
    chosen = settings(**TIGHT)
    trunk.add_role(Role.POLICY, 1)
    rollouts = ragged_rollouts()
    training, plan = _start(trunk, chosen, SAMPLING), minibatch_plan(rollouts, 1)
    experience = collect_experience(trunk, rollouts, plan, 1.0)
    moved = experience.logprobs - change * experience.mask
    advantages = -experience.mask.float()
    advantages[:2] *= -1
    targets = Targets(advantages, torch.zeros(advantages.shape))
    shifted = Experience(**{**vars(experience), "logprobs": moved})
    found = update(training, plan, shifted, targets)
    assert found["clip_fraction"] == 1.0
    assert found["clipped_high"] == pytest.approx(high)
    assert found["clipped_low"] == pytest.approx(low)


def test_later_updates_of_a_step_are_clipped_on_either_side(trunk: Trunk):
    chosen = settings(
        prompts_per_step=4, samples_per_prompt=4, epochs=4, learning_rate=3e-2, clip_range=0.05,
        clip_range_high=0.08,
    )  # fmt: skip
    (step,) = train(trunk, chosen, share_of_low)
    assert step.metrics["first_ratio"] == pytest.approx(1.0, abs=1e-6)
    assert step.metrics["clipped_low"] > 0
    assert step.metrics["clipped_high"] > 0
    both = step.metrics["clipped_low"] + step.metrics["clipped_high"]
    assert both <= step.metrics["clip_fraction"]


def in_rounds(*rounds: list[float]) -> Callable[[Sequence[Rollout]], Tensor]:
    """Return a reward that gives the scores of each round of sampling in turn."""
    left = iter(rounds)
    return lambda rollouts: torch.tensor(next(left))


def test_a_step_samples_until_enough_prompts_have_answers_that_differ(
    trunk: Trunk, monkeypatch: pytest.MonkeyPatch
):
    """Two prompts without a difference, then one of two with one, then the one still missing.

    The gradient is of the prompts in places 2 and 4 alone, four answers.
    """
    found = caught_gradients(monkeypatch)
    rounds = in_rounds([1.0, 1.0, NONE, 0.5], [0.0, 1.0, 2.0, 2.0], [3.0, 1.0])
    (step,) = train(trunk, settings(dynamic_sampling=5, kl={"coefficient": 0}), rounds)
    assert len(step.rollouts) == 10
    assert step.metrics["sampling_rounds"] == 3
    assert step.metrics["groups_learnt"] == 2
    assert step.metrics["groups_without_variance"] == pytest.approx(3 / 5)
    answers = [step.rollouts[row] for row in (4, 5, 8, 9)]
    one = 0.5 / (0.5**0.5 + 1e-4)  # ±0.5 of a deviation of √0.5; 3 and 1 likewise ±1 of √2
    two = 1 / (2**0.5 + 1e-4)
    batch = trunk.batch([answer.tokens for answer in answers])
    logprobs = trunk.token_logprobs(Role.POLICY, batch, 1.0)
    means = logprobs.sum(dim=1) / torch.tensor([len(a.tokens.response_ids) for a in answers])
    (-(torch.tensor([-one, one, two, -two]) * means).sum() / 4).backward()
    for gradient, parameter in zip(found[0], trunk.parameters(Role.POLICY), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, atol=1e-6, rtol=1e-4)


def test_rounds_go_on_in_the_order_of_prompts_and_with_other_seeds(trunk: Trunk):
    """The six prompts come in turn, and again after that, to other answers."""
    rounds = in_rounds([0.0] * 8, [0.0] * 8, [0.0, 1.0] * 4)
    chosen = settings(prompts_per_step=4, dynamic_sampling=3)
    (step,) = train(trunk, chosen, rounds)
    taken = [answer.prompt_index for answer in step.rollouts[::2]]
    assert sorted(taken[:6]) == sorted(taken[6:]) == list(range(6))
    answers = {(r.prompt_index, r.tokens.response_ids) for r in step.rollouts}
    assert len(answers) == len(step.rollouts)


def test_rounds_are_bounded_and_a_step_that_is_not_full_says_so(
    trunk: Trunk, caplog: pytest.LogCaptureFixture
):
    rounds = in_rounds([0.0, 1.0, 1.0, 1.0], [2.0, 2.0])
    with caplog.at_level(logging.WARNING):
        (step,) = train(trunk, settings(dynamic_sampling=2), rounds)
    assert step.metrics["updates"] == 1
    assert step.metrics["groups_learnt"] == 1
    assert "only 1 of 2 prompts have answers that differ in score" in caplog.text


@pytest.mark.parametrize("score", [1.0, NONE])
def test_a_training_without_any_difference_is_an_error(trunk: Trunk, score: float):
    message = "no prompt of the training has two scored answers that differ.*FROM rollout_verdicts"
    with pytest.raises(TrainingError, match=message):
        train(
            trunk,
            settings(dynamic_sampling=2),
            lambda rollouts: torch.full((len(rollouts),), score),
        )


def test_a_prompt_that_comes_again_may_make_more_groups_differ_than_were_missing(
    monkeypatch: pytest.MonkeyPatch, trunk: Trunk
):
    """The second answer to prompt 0 is cut off, and capped at the lowest finished one.

    First that is 1, as the first answer scores, and later 0, as an answer of the next round scores.
    """
    tokens = TokenSequence((3, 4), (5,))
    rounds = iter([[(0, "eos"), (0, "length"), (1, "eos"), (1, "eos")], [(0, "eos"), (0, "eos")]])
    monkeypatch.setattr(
        drawing,
        "roll_out",
        lambda *_: [Rollout(index, tokens, "", (0.0,), end) for index, end in next(rounds)],
    )
    chosen = settings(dynamic_sampling=3, missing_eos_score=5.0)
    stream = PromptStream([(3, 4), (3, 4)], seed=1)
    rewards = in_rounds([1.0, 2.0, 0.0, 3.0], [0.0, 4.0])
    trunk.add_role(Role.POLICY, 1)
    drawn = drawing.draw_answers(_start(trunk, chosen, SAMPLING), stream, rewards, 1)
    assert drawn.rounds == 2
    assert drawn.scores.tolist() == [1.0, 0.0, 0.0, 3.0, 0.0, 4.0]
    assert drawn.is_learnable.all()


def test_without_dynamic_sampling_equal_groups_stay_in_the_divisor(
    trunk: Trunk, monkeypatch: pytest.MonkeyPatch
):
    """Scores 1, 1 and 0, 2: four answers divide the loss, and two have an advantage."""
    found = caught_gradients(monkeypatch)
    (step,) = train(trunk, settings(kl={"coefficient": 0}), in_rounds([1.0, 1.0, 0.0, 2.0]))
    assert step.metrics["groups_without_variance"] == 0.5
    assert "sampling_rounds" not in step.metrics
    batch = trunk.batch([answer.tokens for answer in step.rollouts])
    logprobs = trunk.token_logprobs(Role.POLICY, batch, 1.0).sum(dim=1)
    lengths = torch.tensor([len(answer.tokens.response_ids) for answer in step.rollouts])
    two = 1 / (2**0.5 + 1e-4)
    (-(torch.tensor([0.0, 0.0, -two, two]) * logprobs / lengths).sum() / 4).backward()
    for gradient, parameter in zip(found[0], trunk.parameters(Role.POLICY), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, atol=1e-6, rtol=1e-4)


def test_long_answers_lose_up_to_one_before_they_are_limited(trunk: Trunk):
    """With a limit of 6 and a buffer of 2: −1 at 6 tokens, −0.5 at 5, 0 at 4 and fewer."""
    with torch.no_grad():
        trunk.language_model.get_output_embeddings().weight[trunk.eos_id] *= 3.5
    trunk._base_states = trunk._reference_states()
    chosen = settings(prompts_per_step=6, samples_per_prompt=8, overlong_buffer=2)
    (step,) = train(trunk, chosen, lambda rollouts: torch.full((len(rollouts),), 3.0))
    lengths = [len(answer.tokens.response_ids) for answer in step.rollouts]
    assert {4, 5, 6} <= set(lengths)
    assert list(step.scores) == [{6: 2.0, 5: 2.5}.get(length, 3.0) for length in lengths]
    share = sum(length > 4 for length in lengths) / len(lengths)
    assert step.metrics["overlong"] == pytest.approx(share)


def test_a_stream_of_prompts_goes_on_where_it_was():
    prompts = [(index,) for index in range(5)]
    whole = PromptStream(prompts, seed=3)
    taken = [*whole.take(4), *whole.take(3), *whole.take(5)]
    assert sorted(taken[:5]) == sorted(taken[5:10]) == list(range(5))
    resumed = PromptStream(prompts, seed=3, taken=7)
    assert resumed.take(5) == taken[7:]
    assert resumed.taken == whole.taken == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"divide_by_deviation": False, "aggregation": "constant"},
        {"aggregation": "token", "clip_range_high": 0.28, "dynamic_sampling": 3},
        {"ratio": "sequence", "clip_range": 0.05},
    ],
    ids=["grpo", "dr_grpo", "dapo", "gspo"],
)
def test_planted_reward_is_learnt(trunk: Trunk, variant: dict[str, object]):
    """A random policy scores a quarter; such a small adapter does not reach the optimum, 1."""
    chosen = settings(
        steps=40, prompts_per_step=6, samples_per_prompt=8, learning_rate=3e-2, epochs=2,
        minibatches=2, max_grad_norm=1.0, kl={"coefficient": 0.0}, **variant,
    )  # fmt: skip
    scores = [step.metrics["score"] for step in train(trunk, chosen, share_of_low)]
    assert scores[0] < 0.4
    assert sum(scores[-3:]) / 3 > 0.65
