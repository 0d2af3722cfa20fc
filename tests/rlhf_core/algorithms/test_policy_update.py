"""Updates and targets of PPO and RLOO on answers of different lengths, by hand."""

import math
from collections.abc import Callable

import pytest
import torch

from rlhf_core.algorithms.online import _describe, _start, _targets, add_critic, train_online
from rlhf_core.algorithms.optimisation import Updater
from rlhf_core.algorithms.policy_update import OnlineTraining, Targets, minibatch_plan, update
from rlhf_core.algorithms.rollouts import Experience, collect_experience
from rlhf_core.config.training import (
    KLSettings,
    OnlineSettings,
    PPOSettings,
    PTXSettings,
    RLOOSettings,
)
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from tests.rlhf_core.algorithms.planted import share_of_low
from tests.rlhf_core.algorithms.ragged import PROMPTS, disturb, ragged_rollouts

NewTrunk = Callable[[], Trunk]
MASK = torch.tensor([[True, True, True], [True, False, False]])


def prepare(
    trunk: Trunk, settings: OnlineSettings
) -> tuple[OnlineTraining, list[list[int]], Experience]:
    """Return a training on the ragged answers, its plan, and its experience."""
    trunk.add_role(Role.POLICY, 1)
    if isinstance(settings, PPOSettings):
        trunk.add_role(Role.REWARD, 1)
        add_critic(trunk, settings)
    rollouts = ragged_rollouts()
    plan = minibatch_plan(rollouts, settings.minibatches)
    training = _start(trunk, settings, SamplingSettings())
    return training, plan, collect_experience(trunk, rollouts, plan, 1.0)


def shift(experience: Experience, **offsets: float) -> Experience:
    """Return the experience with some fields higher by a number at all real tokens."""
    moved = {name: getattr(experience, name) + by * experience.mask for name, by in offsets.items()}
    return Experience(**{**vars(experience), **moved})


def two_answers(kl: list[list[float]], values: list[list[float]]) -> Experience:
    """Return the experience of two answers, of three tokens and of one."""
    zeros = torch.zeros(MASK.shape)
    ones = torch.ones(MASK.shape)
    return Experience(
        (),
        MASK,
        zeros,
        zeros,
        torch.tensor(kl),
        torch.tensor(values),
        sampling_gap=0.0,
        weights=ones,
    )


def training_of(trunk: Trunk, settings: OnlineSettings) -> OnlineTraining:
    return OnlineTraining(trunk, settings, SamplingSettings(), {}, None, settings.kl.coefficient)


def test_what_an_update_reports_is_of_real_tokens_alone(trunk: Trunk):
    """Rollout log-probabilities are 0.008 nats lower: each ratio is e^0.008, beyond the clip."""
    settings = PPOSettings(minibatches=1, clip_range=0.005)
    training, plan, experience = prepare(trunk, settings)
    ones = experience.mask.float()
    found = update(training, plan, shift(experience, logprobs=-0.008), Targets(ones, ones))
    ratio = math.exp(0.008)
    assert found["ratio"] == found["first_ratio"] == pytest.approx(ratio, abs=1e-6)
    assert found["log_ratio"] == found["first_log_ratio"] == pytest.approx(0.008, abs=1e-6)
    assert found["approx_kl"] == pytest.approx(ratio - 1 - 0.008, abs=1e-6)
    assert found["clip_fraction"] == 1.0
    assert found["policy_loss"] == pytest.approx(-1.005, abs=1e-6)


@pytest.mark.parametrize("critic", ["separate", "shared"])
def test_the_critic_is_clipped_about_what_it_said_at_rollout(trunk: Trunk, critic: str):
    """The value is R, and was R − 1 at rollout: ½·(R − 1 + 0.2 − R)² = 0.32 for each real token."""
    settings = PPOSettings(minibatches=1, critic=critic)
    training, plan, experience = prepare(trunk, settings)
    assert experience.values[experience.mask].abs().min() > 0
    targets = Targets(torch.zeros(experience.mask.shape), experience.values)
    found = update(training, plan, shift(experience, values=-1.0), targets)
    assert found["value_loss"] == pytest.approx(0.32, abs=1e-5)


def test_metrics_of_rollouts_count_no_padding(trunk: Trunk):
    """Entropy is 2 and KL 0.5 at 16 real tokens of 8 answers, and values equal returns."""
    settings = PPOSettings()
    rollouts = ragged_rollouts()
    mask = torch.zeros(8, 4, dtype=torch.bool)
    for row, rollout in enumerate(rollouts):
        mask[row, : len(rollout.tokens.response_ids)] = True
    returns = torch.arange(32.0).view(8, 4) * mask
    # A wrong mean would include the 9s outside the mask.
    values = torch.where(mask, returns, torch.tensor(9.0))
    experience = Experience(
        (), mask, 0 * returns, 2.0 * mask, 0.5 * mask, values, sampling_gap=0.0, weights=1.0 * mask
    )
    scores = torch.arange(8.0)
    found = _describe(
        rollouts, experience, scores, Targets(returns, returns), training_of(trunk, settings)
    )
    assert found["entropy"] == pytest.approx(2.0)
    assert found["kl"] == pytest.approx(0.5 * 16 / 8)
    assert found["completion_tokens"] == pytest.approx(16 / 8)
    assert found["explained_variance"] == pytest.approx(1.0)
    assert found["eos_rate"] == 7 / 8
    assert found["objective"] == pytest.approx(3.5 - 0.05 * 0.5 * 16 / 8)


def test_advantages_of_ppo_lose_their_mean_and_returns_keep_theirs(trunk: Trunk):
    """γ = 0.5, λ = 1, β = 0, scores 4 and 6, values (1, 2, 3) and 1.

    Row 0: A = 4 − 3, then −0.5 + 0.5·1, then 0 + 0.5·0: 0, 0, 1; returns 1, 2, 4. Row 1: 5 and 6.
    Mean of 0, 0, 1, 5 is 1.5, variance 26/4 − 2.25 = 4.25.
    """
    settings = PPOSettings(gamma=0.5, gae_lambda=1.0, kl=KLSettings(coefficient=0.0))
    experience = two_answers([[0.0] * 3] * 2, [[1.0, 2.0, 3.0], [1.0, 9.0, 9.0]])
    found = _targets(experience, torch.tensor([4.0, 6.0]), training_of(trunk, settings))
    raw = torch.tensor([[0.0, 0.0, 1.0], [5.0, 1.5, 1.5]])
    torch.testing.assert_close(found.advantages, (raw - 1.5) / 4.25**0.5, atol=1e-6, rtol=0)
    expected = torch.tensor([[1.0, 2.0, 4.0], [6.0, 0.0, 0.0]])
    torch.testing.assert_close(found.returns, expected, atol=1e-6, rtol=0)


def test_whitened_rewards_keep_their_mean(trunk: Trunk):
    """Rewards −1, −1, 3 and 3 have mean 1 and deviation 2: they become 0, 0, 2 and 2."""
    settings = PPOSettings(gae_lambda=1.0, whiten_rewards=True, kl=KLSettings(coefficient=1.0))
    experience = two_answers([[1.0, 1.0, 0.0], [0.0, 7.0, 7.0]], [[0.0] * 3] * 2)
    found = _targets(experience, torch.tensor([3.0, 3.0]), training_of(trunk, settings))
    expected = torch.tensor([[2.0, 2.0, 2.0], [2.0, 0.0, 0.0]])
    torch.testing.assert_close(found.returns, expected, atol=1e-6, rtol=0)


def test_an_answer_without_a_score_changes_no_targets_but_its_own(trunk: Trunk):
    """Its own targets are 0, and it takes no part in whitening, however large its values are."""
    settings = PPOSettings(whiten_rewards=True)
    kl, values = [[0.1, 0.2, 0.3], [0.5, 9.0, 9.0]], [[1.0, 2.0, 3.0], [1.0, 9.0, 9.0]]
    both = two_answers(kl, values)
    alone = Experience(
        (),
        *(cell[:1] for cell in (MASK, both.logprobs, both.entropy, both.kl, both.values)),
        sampling_gap=0.0,
        weights=both.weights[:1],
    )
    training = training_of(trunk, settings)
    expected = _targets(alone, torch.tensor([4.0]), training)
    found = _targets(both, torch.tensor([4.0, math.nan]), training)
    torch.testing.assert_close(found.advantages[:1], expected.advantages, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.returns[:1], expected.returns, atol=1e-6, rtol=0)
    assert found.advantages[1].tolist() == found.returns[1].tolist() == [0.0] * 3
    metrics = _describe(ragged_rollouts()[:2], both, torch.tensor([4.0, math.nan]), found, training)
    assert metrics["score"] == 4.0
    assert metrics["score_deviation"] == 0.0
    assert metrics["unscored"] == 0.5
    assert metrics["objective"] == pytest.approx(4.0 - 0.05 * 0.6, abs=1e-6)


def test_rloo_takes_the_kl_of_the_whole_answer_off_its_score(trunk: Trunk):
    """β = 0.5, KL (1, 2, 3) and −2: 10 − 3 against 4 + 1, so ±2 at each token."""
    settings = RLOOSettings(algorithm="rloo", samples_per_prompt=2, kl=KLSettings(coefficient=0.5))
    experience = two_answers([[1.0, 2.0, 3.0], [-2.0, 7.0, 7.0]], [[0.0] * 3] * 2)
    found = _targets(experience, torch.tensor([10.0, 4.0]), training_of(trunk, settings))
    assert found.advantages.tolist() == [[2.0, 2.0, 2.0], [-2.0, 0.0, 0.0]]


def test_a_kl_in_the_loss_is_half_its_square_and_leaves_the_rewards_alone(trunk: Trunk):
    """β = 0.1, each token 2 nats from the reference: 0.1·½·2² = 0.2 a token, 16 of 8 answers."""
    kl = KLSettings(coefficient=0.1, place="loss")
    of_ppo = PPOSettings(minibatches=1, gae_lambda=1.0, kl=kl)
    of_rloo = RLOOSettings(algorithm="rloo", samples_per_prompt=2, minibatches=1, kl=kl)
    for settings, expected in ((of_ppo, 0.2), (of_rloo, 0.2 * 16 / 8)):
        training, plan, experience = prepare(trunk, settings)
        zeros = torch.zeros(experience.mask.shape)
        found = update(training, plan, shift(experience, kl=2.0), Targets(zeros, zeros))
        assert found["policy_loss"] == pytest.approx(expected, abs=1e-5)
        trunk.remove_role(Role.POLICY)
    experience = two_answers([[1.0, 2.0, 3.0], [-2.0, 7.0, 7.0]], [[0.0] * 3] * 2)
    returns = _targets(experience, torch.tensor([3.0, 5.0]), training_of(trunk, of_ppo)).returns
    assert returns.tolist() == [[3.0, 3.0, 3.0], [5.0, 0.0, 0.0]]
    advantages = _targets(
        experience, torch.tensor([10.0, 4.0]), training_of(trunk, of_rloo)
    ).advantages
    assert advantages.tolist() == [[6.0, 6.0, 6.0], [-6.0, 0.0, 0.0]]


def test_ppo_averages_over_tokens_and_rloo_over_answers(trunk: Trunk):
    """Advantage 1 at each of 16 tokens of 8 answers: PPO's loss is −1, RLOO's −16/8."""
    for settings, expected in (
        (PPOSettings(minibatches=1), -1.0),
        (RLOOSettings(algorithm="rloo", minibatches=1), -16 / 8),
    ):
        training, plan, experience = prepare(trunk, settings)
        ones = experience.mask.float()
        found = update(training, plan, experience, Targets(ones, ones))
        assert found["policy_loss"] == pytest.approx(expected, abs=1e-6)
        trunk.remove_role(Role.POLICY)


def test_minibatches_are_whole_prompts_each_once():
    """Four prompts of two answers in three optimizer steps: prompts 0 and 3, 1, 2."""
    plan = minibatch_plan(ragged_rollouts(), 3)
    assert plan == [[0, 1, 6, 7], [2, 3], [4, 5]]


def test_minibatches_hold_the_answers_to_learn_from_alone():
    """Prompt 0 has one answer left, prompt 1 none."""
    assert minibatch_plan(ragged_rollouts(), 3, [1, 4, 5, 6, 7]) == [[1], [4, 5], [6, 7]]
    assert minibatch_plan(ragged_rollouts(), 3, []) == []


@pytest.mark.parametrize("critic", ["separate", "shared"])
def test_the_critic_begins_as_the_reward_model(trunk: Trunk, critic: str):
    trunk.add_role(Role.POLICY, 1)
    trunk.add_role(Role.REWARD, 1)
    disturb(trunk, Role.REWARD)
    add_critic(trunk, PPOSettings(critic=critic))
    role = Role.CRITIC if critic == "separate" else Role.POLICY
    for name, weight in trunk.heads[Role.REWARD].state_dict().items():
        assert torch.equal(trunk.heads[role].state_dict()[name], weight)
    if critic == "separate":
        batch = trunk.batch([rollout.tokens for rollout in ragged_rollouts()])
        values = trunk.token_values(Role.CRITIC, batch)
        assert torch.equal(values, trunk.token_values(Role.REWARD, batch))


def test_a_shared_critic_pulls_by_its_weight(new_trunk: NewTrunk, monkeypatch: pytest.MonkeyPatch):
    """Advantages of 0 leave only the value loss; doubling the coefficient doubles it."""
    found: list[list[torch.Tensor]] = []

    def caught(updater: Updater) -> tuple[float, float]:
        found.append([p.grad for p in updater.parameters if p.grad is not None])
        return 0.0, 0.0

    monkeypatch.setattr(Updater, "step", caught)
    for coefficient in (0.1, 0.2):
        settings = PPOSettings(minibatches=1, critic="shared", value_coefficient=coefficient)
        training, plan, experience = prepare(new_trunk(), settings)
        update(
            training,
            plan,
            experience,
            Targets(torch.zeros(experience.mask.shape), experience.values + 1),
        )
    once, twice = found
    assert max(gradient.abs().max() for gradient in once) > 1e-3
    torch.testing.assert_close(twice, [2 * gradient for gradient in once], atol=1e-7, rtol=1e-4)


def test_the_minibatch_that_is_too_far_is_not_applied(new_trunk: NewTrunk):
    """Any update exceeds 1e-12 nats, so only the first of ten epochs' updates is made."""
    after = []
    for settings in (
        PPOSettings(minibatches=1),
        PPOSettings(minibatches=1, epochs=10, kl=KLSettings(stop_at=1e-12)),
    ):
        trunk = new_trunk()
        training, plan, experience = prepare(trunk, settings)
        ones = experience.mask.float()
        found = update(training, plan, experience, Targets(ones, ones))
        assert found["updates"] == 1
        after.append(trunk.roles.weights(Role.POLICY))
    torch.testing.assert_close(after[1], after[0], atol=0, rtol=0)


def test_texts_of_an_update_that_is_not_made_are_those_of_the_next(trunk: Trunk):
    """Otherwise a resumed training, which counts updates, would read other texts."""
    chosen = PPOSettings(minibatches=1, epochs=3, kl=KLSettings(stop_at=1e-12), ptx=PTXSettings())
    training, plan, experience = prepare(trunk, chosen)
    texts = [[TokenSequence((number,), (5, 6))] for number in range(20, 24)]
    training.texts = iter(texts)
    ones = experience.mask.float()
    assert update(training, plan, experience, Targets(ones, ones))["updates"] == 1
    assert next(training.texts) == texts[1]


def test_the_controller_aims_at_the_kl_of_whole_answers(new_trunk: NewTrunk):
    """The first KL is a tenth above the target: 0.1 · (1 + 0.1 · 8/16)."""

    def first_two(target: float | None) -> list[dict[str, float]]:
        trunk = new_trunk()
        trunk.add_role(Role.POLICY, 1)
        disturb(trunk, Role.POLICY)
        kl = KLSettings(coefficient=0.1, target=target, horizon=16)
        settings = RLOOSettings(
            algorithm="rloo", steps=2, prompts_per_step=4, samples_per_prompt=2, kl=kl
        )
        sampling = SamplingSettings(max_new_tokens=6)
        steps = train_online(trunk, PROMPTS, share_of_low, settings, sampling, 1)
        return [dict(step.metrics) for step in steps]

    kl = first_two(None)[0]["kl"]
    assert kl > 0.1
    assert first_two(kl / 1.1)[1]["kl_coefficient"] == pytest.approx(0.1 * 1.05, abs=1e-5)


def test_texts_and_reward_are_each_clipped_by_their_own_norm(trunk: Trunk):
    """Gradients of norm 12 and 300 are each clipped to 3, for any γ.

    Clipped jointly they would be 0.12 and 2.99, and the reward would hardly count.
    """
    training, _, _ = prepare(
        trunk, PPOSettings(minibatches=1, learning_rate=1e-3, max_grad_norm=3.0)
    )
    policy = training.updaters[Role.POLICY]
    size = sum(parameter.numel() for parameter in policy.parameters)
    signs = [torch.randn_like(parameter).sign() for parameter in policy.parameters]
    for parameter in policy.parameters:
        parameter.grad = torch.full_like(parameter, 12 / size**0.5)
    assert policy.set_aside() == pytest.approx(12, rel=1e-5)
    assert all(parameter.grad is None for parameter in policy.parameters)
    for parameter, sign in zip(policy.parameters, signs, strict=True):
        parameter.grad = sign * 300 / size**0.5
    found: list[torch.Tensor] = []

    def caught(*_: object) -> None:
        found.extend(parameter.grad.clone() for parameter in policy.parameters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy._optimizer, "step", caught)
        norm, _ = policy.step()
    assert norm == pytest.approx(300, rel=1e-5)
    for gradient, sign in zip(found, signs, strict=True):
        torch.testing.assert_close(gradient, (1 + sign) * 3 / size**0.5, atol=1e-6, rtol=0)


def test_the_reward_has_its_part_in_an_update_with_texts_of_any_weight(new_trunk: NewTrunk):
    """The texts' gradient does not explain all of the update's direction with γ = 1e6."""
    texts = [TokenSequence((20,), (5, 6, 7))]
    directions = []
    for scale in (0.0, 1.0):
        trunk = new_trunk()
        chosen = PPOSettings(minibatches=1, ptx=PTXSettings(coefficient=1e6))
        training, plan, experience = prepare(trunk, chosen)
        training.texts = iter([texts])
        found: list[torch.Tensor] = []

        def caught(
            *_: object, training: OnlineTraining = training, found: list[torch.Tensor] = found
        ) -> None:
            parameters = training.updaters[Role.POLICY].parameters
            found.append(torch.cat([parameter.grad.flatten() for parameter in parameters]))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training.updaters[Role.POLICY]._optimizer, "step", caught)
            advantages = torch.linspace(-8, 8, 8)[:, None] * experience.mask * scale
            report = update(training, plan, experience, Targets(advantages, experience.values))
        directions.append(found[0])
        assert report["ptx_grad_norm"] > 1e5
    of_texts, of_both = directions
    of_reward = of_both - of_texts
    assert of_texts.norm().item() == pytest.approx(1.0, abs=1e-3)
    assert report["policy_grad_norm"] > 0.5
    assert of_reward.norm().item() == pytest.approx(min(report["policy_grad_norm"], 1.0), abs=1e-3)


def test_adams_epsilon_is_ppos(trunk: Trunk):
    """An epsilon of 1e-5 halves the step for a gradient of 1e-5 (arXiv:2005.12729)."""
    training, _, _ = prepare(
        trunk, PPOSettings(minibatches=1, learning_rate=1e-3, critic_learning_rate=1e-3)
    )
    for updater in training.updaters.values():
        before = [parameter.detach().clone() for parameter in updater.parameters]
        for parameter in updater.parameters:
            parameter.grad = torch.full_like(parameter, 1e-5)
        updater.step()
        for parameter, former in zip(updater.parameters, before, strict=True):
            torch.testing.assert_close(
                former - parameter, torch.full_like(former, 5e-4), atol=1e-6, rtol=0
            )


def test_defaults_are_those_of_the_papers():
    """They are in InstructGPT's appendix C.4; GAE's λ is that of the released PPO code."""
    ppo, ptx = PPOSettings(), PTXSettings()
    assert (ppo.epochs, ppo.gamma, ppo.gae_lambda) == (1, 1.0, 0.95)
    assert (ppo.clip_range, ppo.value_clip_range) == (0.2, 0.2)
    assert ppo.missing_eos_score == -1.0
    assert (ptx.coefficient, ptx.examples) == (27.8, 8)
    assert SamplingSettings().temperature == 1.0
