from collections.abc import Callable

import pytest
import torch

from rlhf_core.algorithms.ppo import PPOStep, train_ppo
from rlhf_core.algorithms.rollouts import Reward, experience, roll_out
from rlhf_core.config.tree import KLSettings, SamplingSettings, TrainingSettings
from rlhf_core.errors import TrainingError
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32
from tests.rlhf_core.algorithms.planted import random_tokens, share_of_low

NewTrunk = Callable[[], Trunk]
SAMPLING = SamplingSettings(max_new_tokens=6)


def settings(**changes: object) -> TrainingSettings:
    defaults = {
        "steps": 3,
        "prompts_per_step": 4,
        "samples_per_prompt": 2,
        "minibatches": 2,
        "missing_eos_score": None,
    }
    return TrainingSettings.model_validate({**defaults, **changes})


def prompts(count: int = 6) -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(2)
    return [random_tokens(generator, 4 + index) for index in range(count)]


def train(
    trunk: Trunk, chosen: TrainingSettings, reward: Reward = share_of_low, seed: int = 1
) -> list[PPOStep]:
    trunk.add_role(Role.CRITIC, seed)
    trunk.add_role(Role.POLICY, seed)
    return list(train_ppo(trunk, prompts(), reward, chosen, SAMPLING, seed))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_planted_reward_is_learnt(trunk: Trunk, seed: int):
    """A random policy scores a quarter; the optimum, 1, is beyond so small an adapter."""
    chosen = settings(
        steps=40,
        prompts_per_step=6,
        samples_per_prompt=8,
        learning_rate=3e-2,
        critic_learning_rate=1e-2,
        epochs=2,
        kl=KLSettings(coefficient=0.0),
    )
    scores = [step.metrics["score"] for step in train(trunk, chosen, seed=seed)]
    assert scores[0] < 0.4
    assert sum(scores[-3:]) / 3 > 0.65


def test_kl_penalty_holds_the_policy_back(new_trunk: NewTrunk):
    """The same reward with a heavy penalty: the policy stays nearer to the reference."""
    distances = []
    for coefficient in (0.0, 1.0):
        chosen = settings(
            steps=12,
            prompts_per_step=6,
            samples_per_prompt=8,
            learning_rate=3e-2,
            kl=KLSettings(coefficient=coefficient),
        )
        distances.append(train(new_trunk(), chosen)[-1].metrics["kl"])
    assert distances[1] < 0.5 * distances[0]


def test_before_the_first_update_the_ratio_is_one_and_the_kl_zero(trunk: Trunk):
    first = train(trunk, settings(steps=1))[0].metrics
    assert first["first_ratio"] == pytest.approx(1.0, abs=1e-6)
    assert first["first_log_ratio"] == pytest.approx(0.0, abs=1e-6)
    assert first["kl"] == pytest.approx(0.0, abs=1e-6)


def test_two_runs_from_one_seed_are_equal(new_trunk: NewTrunk):
    runs = [[step.metrics for step in train(new_trunk(), settings(), seed=7)] for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0] != [step.metrics for step in train(new_trunk(), settings(), seed=8)]


def test_microbatches_of_any_size_give_the_same_training(new_trunk: NewTrunk):
    """Gradients are divided by the tokens of the optimizer step, not of the micro-batch."""
    curves = []
    for tokens in (16, 48, 4096):
        trunk = new_trunk()
        trunk.compute = type(FP32)(FP32.device, FP32.dtype, tokens, "")
        curves.append([step.metrics["value_loss"] for step in train(trunk, settings())])
    assert curves[0] == pytest.approx(curves[2], abs=1e-4)
    assert curves[1] == pytest.approx(curves[2], abs=1e-4)


def test_number_of_minibatches_is_the_number_of_optimizer_steps(new_trunk: NewTrunk):
    """TRL's num_mini_batches had no effect: training was the same whatever it was set to."""
    curves = [
        [step.metrics["policy_loss"] for step in train(new_trunk(), settings(minibatches=count))]
        for count in (1, 4)
    ]
    assert curves[0] != curves[1]


def test_answers_that_do_not_end_get_the_missing_eos_score(trunk: Trunk):
    """A random model does not end within six tokens, so the reward of 1 must not be seen."""
    (step,) = train(trunk, settings(steps=1, missing_eos_score=-3.0), lambda r: torch.ones(len(r)))
    unfinished = [rollout.finish_reason == "length" for rollout in step.rollouts]
    assert any(unfinished)
    for is_unfinished, score in zip(unfinished, step.scores, strict=True):
        assert score == (-3.0 if is_unfinished else 1.0)


def test_log_probabilities_are_divided_by_the_temperature_everywhere(trunk: Trunk):
    """A peer, trlx, left T out of the log-probabilities; then these two passes disagree."""
    trunk.add_role(Role.CRITIC, 1)
    trunk.add_role(Role.POLICY, 1)
    sampling = SamplingSettings(max_new_tokens=6, temperature=0.3)
    rollouts = roll_out(trunk, prompts(), [0, 1], [[1], [2]], sampling)
    assert experience(trunk, rollouts, [[[0, 1]]], 0.3).sampling_gap < 1e-4
    assert experience(trunk, rollouts, [[[0, 1]]], 1.0).sampling_gap > 0.1


def test_a_policy_that_is_not_the_one_that_rolled_out_ends_the_run(
    trunk: Trunk, monkeypatch: pytest.MonkeyPatch
):
    """Dropout left on, say: the run stops before it updates by a wrong ratio."""
    exact = trunk.token_logprobs
    monkeypatch.setattr(trunk, "token_logprobs", lambda *a, **k: exact(*a, **k) - 0.5)
    with pytest.raises(TrainingError, match="differs from the one that rolled out"):
        train(trunk, settings(steps=1))


def test_critic_learns_the_value_of_a_constant_reward(trunk: Trunk):
    chosen = settings(steps=15, critic_learning_rate=3e-2, kl=KLSettings(coefficient=0.0))
    losses = [
        step.metrics["value_loss"]
        for step in train(trunk, chosen, lambda rollouts: torch.full((len(rollouts),), 2.0))
    ]
    assert losses[-1] < 0.2 * losses[0]
