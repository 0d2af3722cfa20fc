"""PPO and RLOO against any reward: roll out, score, update, again (arXiv:2203.02155).

Policy and critic are roles on one trunk, the reference is the trunk itself. The maths is in
policy_gradient.py, rolling out in rollouts.py, updating in policy_update.py; nothing here knows
where the reward comes from.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor

from rlhf_core.algorithms.checkpoints import NONE_KEPT, Checkpoints, Moving, Standing, after
from rlhf_core.algorithms.losses.policy_gradient import (
    adapted_coefficient,
    baseline_advantages,
    generalized_advantages,
    kl_horizon,
    token_rewards,
)
from rlhf_core.algorithms.losses.tensors import explained_variance, masked_mean, rows_where, whiten
from rlhf_core.algorithms.optimisation import MovingAverage, Updater, endless_steps
from rlhf_core.algorithms.policy_update import Run, Targets, minibatch_plan, update
from rlhf_core.algorithms.rewards import Reward, Rewards, describe, whole
from rlhf_core.algorithms.rollouts import (
    Experience,
    Rollout,
    RolloutStep,
    experience,
    finished,
    finished_scores,
    roll_out,
    unscored_share,
)
from rlhf_core.config.training import OnlineSettings, PPOSettings, RLOOSettings
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.errors import TrainingError
from rlhf_core.identity import seed_from
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk

ADAM_EPS = 1e-5


def add_critic(trunk: Trunk, settings: PPOSettings) -> None:
    """The critic that PPO asks for, begun as what the reward model knows."""
    if settings.critic == "shared":
        trunk.copy_head(Role.REWARD, Role.POLICY)
    else:
        trunk.copy_role(Role.REWARD, Role.CRITIC)


def train_online(
    trunk: Trunk,
    prompts: Sequence[Sequence[int]],
    reward: Reward,
    settings: OnlineSettings,
    sampling: SamplingSettings,
    seed: int,
    texts: Sequence[TokenSequence] = (),
    checkpoints: Checkpoints = NONE_KEPT,
) -> Iterator[RolloutStep]:
    """Improve the trunk's policy role, one rollout and its updates an item.

    Args:
        trunk: With role policy in place; for PPO with role critic too, or a head on the policy.
        prompts: Tokens of each prompt.
        reward: Scores a batch of rollouts.
        settings: Of PPO or RLOO.
        sampling: Temperature and length of the answers.
        seed: Of the order of prompts and texts, and of all answers.
        texts: What PTX models beside the reward; at least one if settings.ptx is there.
        checkpoints: Gone on from where one is there.

    Raises:
        TrainingError: If a number stops being finite, the policy differs from the one that rolled
            out before anything was updated, PTX has no text, or the reference is not the base.
    """
    trunk.require_reference()
    run = _start(trunk, settings, sampling.temperature)
    standing = _standing(run)
    done, numbers = checkpoints.resume(standing)
    run.coefficient = numbers.get("kl_coefficient", run.coefficient)
    if settings.ptx is not None:
        run.texts = _drawn_texts(
            texts, settings.ptx.examples, seed, run.updaters[Role.POLICY].taken
        )
    order = islice(endless_steps(len(prompts), settings.prompts_per_step, seed), settings.steps)
    for step, chosen in after(order, done):
        seeds = [
            [seed_from(seed, step, place, number) for number in range(settings.samples_per_prompt)]
            for place in range(len(chosen))
        ]
        rollouts = roll_out(trunk, prompts, chosen, seeds, sampling)
        found = _learn(run, step, rollouts, whole(reward(rollouts)))
        if run.average is not None and step == settings.steps:
            run.average.take_over()
        yield found
        checkpoints.save(step, standing, kl_coefficient=run.coefficient)
    if run.updaters[Role.POLICY].taken == 0:
        raise TrainingError(
            "the reward has no score for any answer of the training, so nothing was learnt; look "
            "at `SELECT reason, count(*) FROM rollout_verdicts GROUP BY reason`"
        )


def _learn(run: Run, step: int, rollouts: Sequence[Rollout], rewards: Rewards) -> RolloutStep:
    """Update by one step's answers, and move the KL coefficient on."""
    settings = run.settings
    total = rewards.total
    if settings.clip_score is not None:
        total = total.clamp(-settings.clip_score, settings.clip_score)
    scores = finished_scores(total, rollouts, settings.missing_eos_score)
    is_unscored = scores.isnan()
    plan = minibatch_plan(rollouts, settings.minibatches, rows_where(~is_unscored))
    observed = [*plan, rows_where(is_unscored)] if is_unscored.any() else plan

    def look() -> tuple[Experience, Targets]:
        seen = experience(run.trunk, rollouts, observed, run.temperature)
        return seen, _targets(seen, scores, run)

    seen, targets = look()
    metrics = _describe(rollouts, seen, scores, targets, run) | describe(rewards)
    metrics |= update(run, plan, seen, targets, look) if plan else {"updates": 0.0}
    kl = (seen.kl * seen.mask).sum(dim=1)
    if settings.kl.target is not None:
        horizon = settings.kl.horizon or kl_horizon(settings.answers)
        run.coefficient = adapted_coefficient(
            run.coefficient, metrics["kl"], settings.kl.target, len(kl), horizon
        )
    return RolloutStep(
        step,
        settings.steps,
        metrics,
        tuple(rollouts),
        tuple(scores.tolist()),
        tuple(kl.tolist()),
        {name: tuple(part.tolist()) for name, part in rewards.parts.items()},
    )


def _start(trunk: Trunk, settings: OnlineSettings, temperature: float) -> Run:
    steps = settings.steps * settings.epochs * settings.minibatches
    rates = {Role.POLICY: settings.learning_rate}
    if isinstance(settings, PPOSettings) and settings.critic == "separate":
        rates[Role.CRITIC] = settings.critic_learning_rate
    updaters = {
        role: Updater(
            trunk.parameters(role),
            rate,
            steps,
            settings.max_grad_norm,
            ADAM_EPS,
            settings.warmup_updates,
        )
        for role, rate in rates.items()
    }
    policy = updaters[Role.POLICY].parameters
    average = MovingAverage(policy, settings.ema) if settings.ema is not None else None
    return Run(trunk, settings, temperature, updaters, average, settings.kl.coefficient)


def _standing(run: Run) -> Standing:
    parts: dict[str, Moving] = {role.value: updater for role, updater in run.updaters.items()}
    if run.average is not None:
        parts["average"] = run.average
    return Standing(parts)


def _drawn_texts(
    texts: Sequence[TokenSequence], examples: int, seed: int, taken: int
) -> Iterator[list[TokenSequence]]:
    """Those of each optimizer step that is left."""
    if not texts:
        raise TrainingError("ptx: there is no text to model beside the reward")
    drawn = endless_steps(len(texts), examples, seed_from(seed, "ptx"))
    return ([texts[index] for index in indices] for indices in islice(drawn, taken, None))


def _targets(seen: Experience, scores: Tensor, run: Run) -> Targets:
    """Return what the updates aim at: 0 for answers without a score, which change no other's."""
    settings = run.settings
    mask = seen.mask & ~scores.isnan()[:, None]
    coefficient = run.coefficient if settings.kl.place == "reward" else 0.0
    if isinstance(settings, RLOOSettings):
        penalised = scores - coefficient * (seen.kl * seen.mask).sum(dim=1)
        advantages = baseline_advantages(penalised, settings.samples_per_prompt, settings.baseline)
        return Targets(advantages[:, None] * mask, torch.zeros_like(seen.values))
    assert isinstance(settings, PPOSettings)
    rewards = token_rewards(scores.nan_to_num(nan=0.0), seen.kl, seen.mask, coefficient)
    if settings.whiten_rewards:
        rewards = whiten(rewards, mask, keep_mean=True)
    advantages, returns = generalized_advantages(
        rewards, seen.values, mask, settings.gamma, settings.gae_lambda
    )
    return Targets(whiten(advantages, mask), returns)


def _describe(
    rollouts: Sequence[Rollout], seen: Experience, scores: Tensor, targets: Targets, run: Run
) -> dict[str, float]:
    kl = (seen.kl * seen.mask).sum(dim=1)
    lengths = seen.mask.sum(dim=1).float()
    metrics = {
        "kl": kl.mean().item(),
        "kl_coefficient": run.coefficient,
        "entropy": masked_mean(seen.entropy, seen.mask).item(),
        "completion_tokens": lengths.mean().item(),
        "eos_rate": finished(rollouts).float().mean().item(),
        "sampling_gap": seen.sampling_gap,
        **unscored_share(scores, rollouts),
    }
    is_scored = ~scores.isnan()
    if not is_scored.any():
        return metrics
    known = scores[is_scored]
    metrics |= {
        "score": known.mean().item(),
        "score_deviation": known.std(correction=0).item(),
        "objective": (known - run.coefficient * kl[is_scored]).mean().item(),
    }
    if isinstance(run.settings, PPOSettings):
        mask = seen.mask & is_scored[:, None]
        variance = explained_variance(seen.values, targets.returns, mask)
        metrics["explained_variance"] = variance.item()
    return metrics
