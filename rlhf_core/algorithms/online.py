"""PPO, RLOO and GRPO against any reward: roll out, score, update, repeat (arXiv:2203.02155).

Policy and critic are roles on one trunk, the reference is the trunk itself. The maths is in
losses/, rollouts in rollouts.py, a step's answers in drawing.py, updates in policy_update.py;
nothing here knows where the reward comes from.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor

from rlhf_core.algorithms.checkpoints import (
    NO_CHECKPOINTS,
    Checkpoints,
    Stateful,
    TrainingState,
)
from rlhf_core.algorithms.drawing import DrawnAnswers, PromptStream, draw_answers, group_metrics
from rlhf_core.algorithms.losses.groups import group_advantages
from rlhf_core.algorithms.losses.policy_gradient import (
    adapt_coefficient,
    baseline_advantages,
    generalized_advantages,
    kl_horizon,
    token_rewards,
)
from rlhf_core.algorithms.losses.tensors import explained_variance, masked_mean, rows_where, whiten
from rlhf_core.algorithms.optimisation import MovingAverage, Updater, endless_steps
from rlhf_core.algorithms.policy_update import OnlineTraining, Targets, minibatch_plan, update
from rlhf_core.algorithms.rewards import Reward, reward_metrics, rollout_step
from rlhf_core.algorithms.rollouts import (
    Experience,
    Rollout,
    RolloutStep,
    collect_experience,
    finished_mask,
    unscored_shares,
)
from rlhf_core.algorithms.watch import Watch, WatchedWeights
from rlhf_core.config.training import GRPOSettings, OnlineSettings, PPOSettings, RLOOSettings
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.distributed.collective import RankZeroOnly
from rlhf_core.errors import TrainingError
from rlhf_core.identity import seed_from
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling.sampler import LOCAL, Sampler

ADAM_EPS = 1e-5
MAX_ENGINE_GAP = 0.5
"""Nats a token by which the log-probabilities of an engine may differ from the policy's: far more
than rounding does, far less than another model."""
NO_SCORE = (
    "the reward has no score for any answer of the training, so nothing was learnt; look at "
    "`SELECT reason, count(*) FROM rollout_verdicts WHERE role = 'reward' GROUP BY reason`"
)
NO_DIFFERENCE = (
    "no prompt of the training has two scored answers that differ in score, so nothing was learnt; "
    "use prompts that are neither too easy nor too hard, a reward with more grades, or more "
    "samples_per_prompt; if answers have no score, look at "
    "`SELECT reason, count(*) FROM rollout_verdicts WHERE role = 'reward' GROUP BY reason`"
)


def add_critic(trunk: Trunk, settings: PPOSettings) -> None:
    """Add PPO's critic, initialised from the reward model: a head on the policy, or a role."""
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
    checkpoints: Checkpoints = NO_CHECKPOINTS,
    watch: RankZeroOnly[Watch] | None = None,
    sampler: Sampler = LOCAL,
) -> Iterator[RolloutStep]:
    """Train the trunk's policy role by PPO, RLOO or GRPO.

    Args:
        trunk: Holds the policy role; for PPO also the critic role, or a head on the policy.
        prompts: Tokens of each prompt.
        reward: Scores a batch of rollouts.
        settings: Settings of the algorithm.
        sampling: Temperature and length of the answers.
        seed: Seed of the order of prompts and texts, and of all answers.
        texts: Texts for PTX; at least one if settings.ptx is set.
        checkpoints: A checkpoint in them is resumed.
        watch: Asked after each step whether to end with the best weights so far, not averaged.
        sampler: Samples the answers.

    Yields:
        A step for each rollout phase and its updates.

    Raises:
        TrainingError: If a number is not finite, the policy differs from the one that rolled out
            before the first update, no answer can be learnt from, PTX has no text, or the reference
            is not the base.
    """
    trunk.require_reference()
    training = _start(trunk, settings, sampling, sampler)
    policy = training.updaters[Role.POLICY]
    best = WatchedWeights(policy.parameters, watch) if watch is not None else None
    state = _training_state(training, best)
    done, numbers = checkpoints.resume(state)
    training.coefficient = numbers.get("kl_coefficient", training.coefficient)
    taken = int(numbers.get("prompts_taken", done * settings.prompts_per_step))
    stream = PromptStream(prompts, seed, taken)
    if settings.ptx is not None:
        training.texts = _texts_by_step(texts, settings.ptx.examples, seed, policy.taken)
    for step in range(done + 1, settings.steps + 1):
        if best is not None:
            best.begin_step()
        report = _learn(training, step, draw_answers(training, stream, reward, step))
        if training.average is not None and step == settings.steps:
            training.average.copy_to_parameters()
        yield report
        if best is not None and best.end_step():
            return
        checkpoints.save(
            step, state, kl_coefficient=training.coefficient, prompts_taken=stream.taken
        )
    if policy.taken == 0:
        raise TrainingError(NO_DIFFERENCE if settings.drops_equal_groups else NO_SCORE)


def _learn(training: OnlineTraining, step: int, drawn: DrawnAnswers) -> RolloutStep:
    """Make the updates of one step's answers, and adapt the KL coefficient."""
    settings, rollouts, scores = training.settings, drawn.rollouts, drawn.scores
    plan = minibatch_plan(rollouts, settings.minibatches, rows_where(drawn.is_learnable))
    others = rows_where(~drawn.is_learnable)
    observed = [*plan, others] if others else plan

    def observe() -> tuple[Experience, Targets]:
        sampling = training.sampling
        experience = collect_experience(
            training.trunk, rollouts, observed, sampling.temperature, sampling.engine.weights_up_to
        )
        _require_same_policy(training, experience)
        return experience, _targets(experience, scores, training)

    experience, targets = observe()
    metrics = _describe(rollouts, experience, scores, targets, training)
    metrics |= group_metrics(training, drawn) | reward_metrics(drawn.rewards)
    metrics |= update(training, plan, experience, targets, observe) if plan else {"updates": 0.0}
    kl = (experience.kl * experience.mask).sum(dim=1)
    if settings.kl.target is not None:
        horizon = settings.kl.horizon or kl_horizon(settings.answers)
        training.coefficient = adapt_coefficient(
            training.coefficient, metrics["kl"], settings.kl.target, len(kl), horizon
        )
    return rollout_step(step, settings.steps, metrics, rollouts, scores, kl, drawn.rewards)


def _require_same_policy(training: OnlineTraining, experience: Experience) -> None:
    """Refuse rollouts of an engine that samples from another model than the policy.

    Raises:
        TrainingError: If its log-probabilities are too far from the policy's.
    """
    engine, gap = training.sampler.engine, experience.sampling_gap
    if engine != "local" and not gap <= MAX_ENGINE_GAP:
        raise TrainingError(
            f"{engine} reports other log-probabilities than the policy has, by {gap:.2f} nats a "
            "token: it serves another model, changes what it samples from (start it with "
            "--generation-config vllm), or reports log-probabilities before the temperature "
            "(--logprobs-mode processed_logprobs)"
        )


def _start(
    trunk: Trunk, settings: OnlineSettings, sampling: SamplingSettings, sampler: Sampler = LOCAL
) -> OnlineTraining:
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
    coefficient = settings.kl.coefficient
    return OnlineTraining(
        trunk, settings, sampling, updaters, average, coefficient, sampler=sampler
    )


def _training_state(training: OnlineTraining, best: WatchedWeights | None) -> TrainingState:
    parts: dict[str, Stateful] = {
        role.value: updater for role, updater in training.updaters.items()
    }
    if training.average is not None:
        parts["average"] = training.average
    if best is not None:
        parts["best"] = best
    return TrainingState(parts)


def _texts_by_step(
    texts: Sequence[TokenSequence], examples: int, seed: int, taken: int
) -> Iterator[list[TokenSequence]]:
    """Return the texts of each optimizer step after the first `taken`."""
    if not texts:
        raise TrainingError("ptx: there is no text to train on beside the reward")
    drawn = endless_steps(len(texts), examples, seed_from(seed, "ptx"))
    return ([texts[index] for index in indices] for indices in islice(drawn, taken, None))


def _targets(experience: Experience, scores: Tensor, training: OnlineTraining) -> Targets:
    """Return the targets of the updates: 0 for unscored answers, which do not affect the others."""
    settings = training.settings
    mask = experience.mask & ~scores.isnan()[:, None]
    coefficient = training.coefficient if settings.kl.place == "reward" else 0.0
    if isinstance(settings, RLOOSettings | GRPOSettings):
        penalised = scores - coefficient * (experience.kl * experience.mask).sum(dim=1)
        advantages = _answer_advantages(settings, penalised)
        return Targets(advantages[:, None] * mask, torch.zeros_like(experience.values))
    assert isinstance(settings, PPOSettings)
    rewards = token_rewards(scores.nan_to_num(nan=0.0), experience.kl, experience.mask, coefficient)
    if settings.whiten_rewards:
        rewards = whiten(rewards, mask, keep_mean=True)
    advantages, returns = generalized_advantages(
        rewards, experience.values, mask, settings.gamma, settings.gae_lambda
    )
    return Targets(whiten(advantages, mask), returns)


def _answer_advantages(settings: RLOOSettings | GRPOSettings, scores: Tensor) -> Tensor:
    """Return the advantage of each whole answer over the others, (N,)."""
    samples = settings.samples_per_prompt
    if isinstance(settings, GRPOSettings):
        return group_advantages(scores, samples, settings.divide_by_deviation)
    return baseline_advantages(scores, samples, settings.baseline)


def _describe(
    rollouts: Sequence[Rollout],
    experience: Experience,
    scores: Tensor,
    targets: Targets,
    training: OnlineTraining,
) -> dict[str, float]:
    kl = (experience.kl * experience.mask).sum(dim=1)
    lengths = experience.mask.sum(dim=1).float()
    metrics = {
        "kl": kl.mean().item(),
        "kl_coefficient": training.coefficient,
        "entropy": masked_mean(experience.entropy, experience.mask).item(),
        "completion_tokens": lengths.mean().item(),
        "eos_rate": finished_mask(rollouts).float().mean().item(),
        "sampling_gap": experience.sampling_gap,
        **unscored_shares(scores, rollouts),
        **_weight_metrics(experience, training.sampling.engine.weights_up_to),
    }
    is_scored = ~scores.isnan()
    if not is_scored.any():
        return metrics
    known = scores[is_scored]
    metrics |= {
        "score": known.mean().item(),
        "score_deviation": known.std(correction=0).item(),
        "objective": (known - training.coefficient * kl[is_scored]).mean().item(),
    }
    if isinstance(training.settings, PPOSettings):
        mask = experience.mask & is_scored[:, None]
        variance = explained_variance(experience.values, targets.returns, mask)
        metrics["explained_variance"] = variance.item()
    return metrics


def _weight_metrics(experience: Experience, cap: float | None) -> dict[str, float]:
    """Return the metrics of the importance weights; none without a cap, so without weights."""
    if cap is None:
        return {}
    is_cut = (experience.weights >= torch.tensor(cap)).float()
    return {
        "importance_weight": masked_mean(experience.weights, experience.mask).item(),
        "importance_cut": masked_mean(is_cut, experience.mask).item(),
    }
