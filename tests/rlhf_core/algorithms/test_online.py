import math
from collections.abc import Callable, Sequence

import pytest
import torch

from rlhf_core.algorithms.online import add_critic, train_online
from rlhf_core.algorithms.optimisation import Updater
from rlhf_core.algorithms.rewards import Reward
from rlhf_core.algorithms.rollouts import Rollout, RolloutStep, collect_experience, roll_out
from rlhf_core.config.training import KLSettings, OnlineSettings, PPOSettings, RLOOSettings
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.errors import TrainingError
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.sequences import TokenSequence, collate
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32
from tests.rlhf_core.algorithms.planted import SEEDS, random_tokens, share_of_low

NewTrunk = Callable[[], Trunk]
SAMPLING = SamplingSettings(max_new_tokens=6)


def settings(kind: type[OnlineSettings] = PPOSettings, **changes: object) -> OnlineSettings:
    defaults = {
        "steps": 3,
        "prompts_per_step": 4,
        "samples_per_prompt": 2,
        "minibatches": 2,
        "missing_eos_score": None,
    }
    algorithm = {"algorithm": "rloo"} if kind is RLOOSettings else {}
    return kind.model_validate({**defaults, **algorithm, **changes})


def prompts(count: int = 6) -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(2)
    return [random_tokens(generator, 4 + index) for index in range(count)]


def train(
    trunk: Trunk,
    chosen: OnlineSettings,
    reward: Reward = share_of_low,
    seed: int = 1,
    texts: Sequence[TokenSequence] = (),
) -> list[RolloutStep]:
    trunk.add_role(Role.POLICY, seed)
    if isinstance(chosen, PPOSettings):
        trunk.add_role(Role.REWARD, seed)
        add_critic(trunk, chosen)
    return list(train_online(trunk, prompts(), reward, chosen, SAMPLING, seed, texts))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("kind", "own"),
    [
        (PPOSettings, {"critic_learning_rate": 1e-2}),
        (PPOSettings, {"critic": "shared"}),
        (RLOOSettings, {}),
        pytest.param(RLOOSettings, {"baseline": "batch_mean"}, marks=pytest.mark.slow),
    ],
)
def test_planted_reward_is_learnt(
    trunk: Trunk, kind: type[OnlineSettings], own: dict[str, object], seed: int
):
    """A random policy scores a quarter; such a small adapter does not reach the optimum, 1."""
    chosen = settings(
        kind, steps=40, prompts_per_step=6, samples_per_prompt=8, learning_rate=3e-2, epochs=2,
        kl=KLSettings(coefficient=0.0), **own,
    )  # fmt: skip
    scores = [step.metrics["score"] for step in train(trunk, chosen, seed=seed)]
    assert scores[0] < 0.4
    assert sum(scores[-3:]) / 3 > 0.65


def test_kl_penalty_holds_the_policy_back(new_trunk: NewTrunk):
    """A heavy penalty on the same reward keeps the policy nearer to the reference."""
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
    """TRL's num_mini_batches had no effect on the number of steps."""
    runs = [train(new_trunk(), settings(minibatches=count)) for count in (1, 4)]
    assert [{step.metrics["updates"] for step in steps} for steps in runs] == [{1}, {4}]
    first, second = ([step.metrics["policy_loss"] for step in steps] for steps in runs)
    assert first != pytest.approx(second, abs=1e-4)


def test_answers_that_do_not_end_get_the_missing_eos_score(trunk: Trunk):
    """A random model does not end within six tokens, so its reward of 1 must not show."""
    (step,) = train(trunk, settings(steps=1, missing_eos_score=-3.0), lambda r: torch.ones(len(r)))
    unfinished = [rollout.finish_reason == "length" for rollout in step.rollouts]
    assert any(unfinished)
    for is_unfinished, score in zip(unfinished, step.scores, strict=True):
        assert score == (-3.0 if is_unfinished else 1.0)


def test_log_probabilities_are_divided_by_the_temperature_everywhere(trunk: Trunk):
    """These two passes would disagree without the temperature, as they did in trlx."""
    trunk.add_role(Role.CRITIC, 1)
    trunk.add_role(Role.POLICY, 1)
    sampling = SamplingSettings(max_new_tokens=6, temperature=0.3)
    rollouts = roll_out(trunk, prompts(), [0, 1], [[1], [2]], sampling)
    assert collect_experience(trunk, rollouts, [[0, 1]], 0.3).sampling_gap < 1e-4
    assert collect_experience(trunk, rollouts, [[0, 1]], 1.0).sampling_gap > 0.1


def test_policy_and_reference_are_one_at_any_temperature_before_the_first_update(trunk: Trunk):
    """Ratio 1 and KL 0 show that rollout, policy and reference use the same temperature."""
    trunk.add_role(Role.POLICY, 1)
    cold = SamplingSettings(max_new_tokens=6, temperature=0.3)
    chosen = settings(RLOOSettings, steps=1)
    (step,) = train_online(trunk, prompts(), share_of_low, chosen, cold, 1)
    for name, expected in (("first_ratio", 1.0), ("first_log_ratio", 0.0), ("kl", 0.0)):
        assert step.metrics[name] == pytest.approx(expected, abs=1e-6), name
    assert step.metrics["sampling_gap"] < 1e-4


def test_a_policy_that_is_not_the_one_that_rolled_out_ends_the_run(
    trunk: Trunk, monkeypatch: pytest.MonkeyPatch
):
    """Dropout that was left on, for example, stops training before an update with wrong ratios."""
    exact = trunk.logprobs_and_entropy_from

    def differing(*arguments: object, **options: object) -> tuple[torch.Tensor, torch.Tensor]:
        logprobs, entropy = exact(*arguments, **options)
        return logprobs - 0.5 * logprobs.requires_grad, entropy

    monkeypatch.setattr(trunk, "logprobs_and_entropy_from", differing)
    with pytest.raises(TrainingError, match="differs from the one that rolled out"):
        train(trunk, settings(steps=1))


@pytest.mark.parametrize(
    "own", [{"critic_learning_rate": 3e-2}, {"critic": "shared", "learning_rate": 3e-2}]
)
def test_critic_learns_the_value_of_a_constant_reward(trunk: Trunk, own: dict[str, object]):
    chosen = settings(steps=15, kl=KLSettings(coefficient=0.0), **own)
    losses = [
        step.metrics["value_loss"]
        for step in train(trunk, chosen, lambda rollouts: torch.full((len(rollouts),), 2.0))
    ]
    assert losses[-1] < 0.2 * losses[0]


def test_rloo_trains_no_critic_and_its_first_gradient_is_reinforce(trunk: Trunk):
    """−Σ A·∇log π(y) / answers, by hand from the answers that were drawn."""
    chosen = settings(RLOOSettings, steps=1, minibatches=1, max_grad_norm=1e9)
    trunk.add_role(Role.POLICY, 1)
    # The gradient is caught before the optimizer applies it.
    gradients: list[list[torch.Tensor]] = []
    apply = Updater.step

    def caught(updater: Updater) -> tuple[float, float]:
        gradients.append([parameter.grad.clone() for parameter in updater.parameters])
        return apply(updater)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Updater, "step", caught)
        (step,) = train_online(trunk, prompts(), share_of_low, chosen, SAMPLING, 1)
    assert Role.CRITIC not in trunk.heads
    assert "value_loss" not in step.metrics
    fresh = open_trunk("tiny-random", FP32, lora=4)
    fresh.add_role(Role.POLICY, 1)
    scores = torch.tensor(step.scores).view(-1, 2)
    advantages = (scores - scores.flip(1)).view(-1)
    sequences = [rollout.tokens for rollout in step.rollouts]
    logprobs = fresh.token_logprobs(Role.POLICY, collate(sequences, fresh.pad_id), 1.0)
    (-(advantages * logprobs.sum(dim=1)).mean()).backward()
    for found, parameter in zip(gradients[0], fresh.parameters(Role.POLICY), strict=True):
        torch.testing.assert_close(found, parameter.grad, atol=1e-6, rtol=1e-4)


def test_ptx_adds_its_gradient_to_that_of_the_reward_before_one_step(new_trunk: NewTrunk):
    """The reward's gradient is set aside, the texts' is multiplied by γ, and one step applies both.

    Another library takes an optimizer step for each, which is a different algorithm.
    """
    texts = [TokenSequence(prompt[:1], prompt[1:]) for prompt in prompts()]

    def gradients(chosen: OnlineSettings) -> list[torch.Tensor]:
        found: list[torch.Tensor] = []
        apply = Updater.step

        def caught(updater: Updater) -> tuple[float, float]:
            if not found:
                gradients = [parameter.grad.clone() for parameter in updater.parameters]
                aside = updater._aside or [torch.zeros(())] * len(gradients)
                found.extend(own + other for own, other in zip(gradients, aside, strict=True))
            return apply(updater)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Updater, "step", caught)
            train(new_trunk(), chosen, texts=texts)
        return found

    plain = {"steps": 1, "minibatches": 1, "max_grad_norm": 1e9}
    without = gradients(settings(**plain))
    beside = gradients(settings(**plain, ptx={"coefficient": 3.0, "examples": len(texts)}))
    trunk = new_trunk()
    trunk.add_role(Role.POLICY, 1)
    logprobs = trunk.token_logprobs(Role.POLICY, trunk.batch(texts), 1.0)
    (-3.0 * logprobs.sum() / sum(len(text.response_ids) for text in texts)).backward()
    for reward_only, both, parameter in zip(
        without, beside, trunk.parameters(Role.POLICY), strict=True
    ):
        torch.testing.assert_close(both, reward_only + parameter.grad, atol=1e-5, rtol=1e-4)


def test_ptx_without_texts_is_refused(trunk: Trunk):
    with pytest.raises(TrainingError, match="ptx: there is no text"):
        train(trunk, settings(ptx={}))


def test_kl_coefficient_rises_while_the_policy_is_too_far_and_falls_while_it_is_near(
    new_trunk: NewTrunk,
):
    """A step of 8 answers multiplies it by 1 ± 0.2·8/horizon."""
    near = KLSettings(coefficient=0.1, target=1e6, horizon=16)
    first, second = train(new_trunk(), settings(steps=2, kl=near))
    assert first.metrics["kl_coefficient"] == 0.1
    assert second.metrics["kl_coefficient"] == pytest.approx(0.1 * (1 - 0.2 * 8 / 16))


def test_updates_stop_where_the_policy_has_left_the_one_that_rolled_out(new_trunk: NewTrunk):
    many = {"steps": 1, "epochs": 10, "learning_rate": 3e-2}
    (free,) = train(new_trunk(), settings(**many))
    (held,) = train(new_trunk(), settings(**many, kl=KLSettings(stop_at=1e-3)))
    assert free.metrics["updates"] == 20
    assert 1 <= held.metrics["updates"] < 20


def test_scores_are_clipped_on_either_side(trunk: Trunk):
    def extreme(rollouts: Sequence[Rollout]) -> torch.Tensor:
        return torch.tensor([9.0, -9.0]).repeat(len(rollouts) // 2)

    (step,) = train(trunk, settings(steps=1, clip_score=0.5), extreme)
    assert step.scores == (0.5, -0.5) * 4


def test_entropy_bonus_keeps_the_policy_broad(new_trunk: NewTrunk):
    entropies = []
    for bonus in (0.0, 1.0):
        chosen = settings(
            steps=12, samples_per_prompt=8, learning_rate=3e-2, entropy_bonus=bonus,
            kl=KLSettings(coefficient=0.0),
        )  # fmt: skip
        entropies.append(train(new_trunk(), chosen)[-1].metrics["entropy"])
    assert entropies[1] > entropies[0] + 0.05


def test_the_moving_average_is_what_is_left_in_the_end(new_trunk: NewTrunk):
    """The average of w₁ and w₂ after two steps with decay 0.75 is (0.75·w₁ + w₂) / 1.75."""
    two = {"steps": 2, "minibatches": 1}
    plain, averaged = new_trunk(), new_trunk()
    plain.add_role(Role.POLICY, 1)
    plain.add_role(Role.REWARD, 1)
    add_critic(plain, PPOSettings())
    steps = train_online(plain, prompts(), share_of_low, settings(**two), SAMPLING, 1)
    first, second = (
        {name: weight.clone() for name, weight in plain.roles.weights(Role.POLICY).items()}
        for _ in steps
    )
    train(averaged, settings(**two, ema=0.75))
    for name, weight in averaged.roles.weights(Role.POLICY).items():
        torch.testing.assert_close(weight, (0.75 * first[name] + second[name]) / 1.75)


def test_by_default_the_controller_can_change_the_coefficient_tenfold(new_trunk: NewTrunk):
    """The horizon of 16 steps of 8 answers is 0.2·128 / log 10 = 11.11794.

    With the paper's 10,000 all sixteen would change it by less than 0.3 %.
    """
    near = KLSettings(coefficient=0.1, target=1e6)
    steps = train(new_trunk(), settings(steps=16, kl=near))
    factor = 1 - 0.2 * 8 / 11.1179388
    found = [step.metrics["kl_coefficient"] for step in steps]
    assert found == pytest.approx([0.1 * factor**step for step in range(16)], abs=1e-6)
    assert found[-1] * factor < 0.1 / 10  # (1 − 0.1439)¹⁶ = 0.0832


def first_gradients(
    trunk: Trunk, chosen: OnlineSettings, reward: Reward
) -> tuple[RolloutStep, list[torch.Tensor]]:
    """Return the only step of a training, and its gradient before it is clipped and applied."""
    found: list[torch.Tensor] = []
    apply = Updater.step

    def caught(updater: Updater) -> tuple[float, float]:
        found.extend(parameter.grad.clone() for parameter in updater.parameters)
        return apply(updater)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Updater, "step", caught)
        (step,) = train(trunk, chosen, reward)
    return step, found


def test_answers_without_a_score_teach_nothing(trunk: Trunk):
    """Answers 1, 4 and 5 of eight to four prompts have no score, so 0 has no other to compare with.

    The loss is the sum over 2, 3, 6 and 7, divided by the five that have a score.
    """

    def reward(rollouts: Sequence[Rollout]) -> torch.Tensor:
        scores = share_of_low(rollouts)
        scores[[1, 4, 5]] = torch.nan
        return scores

    chosen = settings(RLOOSettings, steps=1, minibatches=1, kl=KLSettings(coefficient=0.5))
    step, gradients = first_gradients(trunk, chosen, reward)
    assert [math.isnan(score) for score in step.scores] == [row in (1, 4, 5) for row in range(8)]
    assert step.metrics["unscored"] == 3 / 8
    assert step.metrics["unscored_prompts"] == 1 / 4
    scores = torch.tensor(step.scores)
    advantages = torch.zeros(8)
    for one, other in ((2, 3), (6, 7)):
        advantages[one] = scores[one] - scores[other]
        advantages[other] = -advantages[one]
    assert advantages.any()
    fresh = open_trunk("tiny-random", FP32, lora=4)
    fresh.add_role(Role.POLICY, 1)
    batch = fresh.batch([rollout.tokens for rollout in step.rollouts])
    logprobs = fresh.token_logprobs(Role.POLICY, batch, 1.0).sum(dim=1)
    (-(advantages * logprobs).sum() / 5).backward()
    for found, parameter in zip(gradients, fresh.parameters(Role.POLICY), strict=True):
        torch.testing.assert_close(found, parameter.grad, atol=1e-6, rtol=1e-4)


def test_a_step_without_any_score_is_no_update_and_a_training_of_them_an_error(trunk: Trunk):
    trunk.add_role(Role.POLICY, 1)
    before = {name: value.clone() for name, value in trunk.roles.weights(Role.POLICY).items()}
    chosen = settings(RLOOSettings, steps=2)
    steps = train_online(
        trunk, prompts(), lambda r: torch.full((len(r),), torch.nan), chosen, SAMPLING, 1
    )
    first, second = next(steps), next(steps)
    assert first.metrics["updates"] == second.metrics["updates"] == 0
    assert "score" not in first.metrics
    torch.testing.assert_close(trunk.roles.weights(Role.POLICY), before, atol=0, rtol=0)
    with pytest.raises(TrainingError, match="no score for any answer of the training"):
        next(steps)


def test_unfinished_answers_are_unlearnt_though_finished_ones_score_below_their_score(
    trunk: Trunk,
):
    """A finished answer has −2, one cut off −2.5; with −1 for the latter, not ending would pay."""
    with torch.no_grad():
        trunk.language_model.get_output_embeddings().weight[trunk.eos_id] *= 3.5
    trunk._base_states = trunk._reference_states()
    chosen = settings(
        RLOOSettings, steps=12, prompts_per_step=6, samples_per_prompt=8, learning_rate=3e-2,
        missing_eos_score=-1.0, kl=KLSettings(coefficient=0.0),
    )  # fmt: skip

    def reward(rollouts: Sequence[Rollout]) -> torch.Tensor:
        return torch.tensor([-2.0 if r.finish_reason == "eos" else -2.5 for r in rollouts])

    rates = [step.metrics["eos_rate"] for step in train(trunk, chosen, reward)]
    assert sum(rates[-3:]) > sum(rates[:3])
