"""The guard of a policy's training: it judges each step, stores alarms, and may end the training.

It watches algorithms that learn from rollouts of the policy. DPO has none, and best of n samples
before it learns; their policies are looked at before promotion (`promotion.py`).

The guard keeps no state of its own on disk. A resumed training looks again at the stored answers
of the steps before, whose verdicts are stored as well, and so comes to the same decisions.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial

from flows.cycle.candidates import missing_shards, policy_sampler, sample_shards
from flows.cycle.cycle import Cycle
from flows.cycle.estimates import CycleWork, Row
from flows.cycle.ledger import StoreLedger
from flows.guard.alarms import alarm_rows, announce_alarms
from flows.guard.answers import Signs, guarded_candidates, guarded_rollouts, reward_parts
from flows.guard.judging import HeldOutJudge
from flows.guard.reading import signs_of
from judges.panel.panel import Panelist
from rlhf_core.algorithms.reward_reader import RewardReader
from rlhf_core.algorithms.rollouts import RolloutStep
from rlhf_core.algorithms.watch import StepVerdict
from rlhf_core.config import Config
from rlhf_core.config.training import OnlineSettings
from rlhf_core.config.tree import guarding_judge
from rlhf_core.guard.monitor import Guard, Look
from rlhf_core.guard.thresholds import Schedule
from rlhf_core.models.chat import policy_chat
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.records import Candidate, GuardAlarm, Metric, Prompt, RolloutRecord
from rlhf_core.sampling.sampler import LOCAL, Sampler
from rlhf_core.store import Store, queries

Answers = Mapping[str, Sequence[Candidate]]


class TrainingGuard:
    """Watches the training of one policy, on rank 0.

    Args:
        cycle: The cycle under way; its training learns from rollouts.
        store: Receives figures, verdicts and alarms.
        model_id: The policy that is trained.
        prompts: Prompts of the training.
        baseline: Answers of the model that the training begins from, by prompt id.
        signs: What the reward model shows of the baseline's answers; none if it is no part of the
            reward.
    """

    def __init__(
        self,
        cycle: Cycle,
        store: Store,
        model_id: str,
        prompts: Sequence[Prompt],
        baseline: Answers,
        signs: Signs,
    ) -> None:
        config, settings = cycle.config, cycle.config.training
        assert isinstance(settings, OnlineSettings)
        self.reward = settings.reward
        self.cycle, self.store, self.model_id = cycle, store, model_id
        self.prompts = {prompt.id: prompt for prompt in prompts}
        ledger = StoreLedger(store, cycle.budget, compute=config.compute)
        self.judge = HeldOutJudge(config, store, ledger, self.prompts, baseline)
        answers = [answer for group in baseline.values() for answer in group]
        schedule = Schedule(
            settings.steps,
            settings.prompts_per_step,
            settings.samples_per_prompt,
            config.guard.window,
        )
        self.guard = Guard(
            guarded_candidates(answers, self.prompts, signs),
            schedule,
            config.guard.false_alarms,
            len(reward_parts(self.reward)),
        )
        self.seen = 0
        """Number of steps observed."""
        self._best = 0.0
        """The best held-out gain so far; that of the weights at the beginning is 0."""
        self._verdict = StepVerdict()

    def watch(self, step: RolloutStep, rollouts: Sequence[RolloutRecord]) -> None:
        """Look at the answers of the next step, and store figures and alarms.

        Args:
            step: The step.
            rollouts: Its answers, as they are stored.
        """
        for earlier in range(self.seen + 1, step.step):
            self._observe(self._stored(earlier), self._stored_entropy(earlier))
        look, is_best = self._observe(rollouts, step.metrics["entropy"])
        is_alarming = look is not None and bool(look.alarms)
        stops = is_alarming and self.cycle.config.guard.action == "stop"
        self._verdict = StepVerdict(is_best=is_best, is_last=stops)
        if look is None:
            return
        alarms = alarm_rows(self.cycle.config, self.model_id, look, look.step)
        known = queries.known_ids(self.store, GuardAlarm.table, [alarm.id for alarm in alarms])
        self.store.append([*_metrics(self.model_id, look), *alarms])
        announce_alarms(self.cycle, [alarm for alarm in alarms if alarm.id not in known])

    def verdict(self) -> StepVerdict:
        """Return whether the training ends, and whether the last step is the best so far."""
        return self._verdict

    def close(self) -> None:
        """Check at the end how many verdicts were missing."""
        self.judge.close()

    def _observe(
        self, rollouts: Sequence[RolloutRecord], entropy: float
    ) -> tuple[Look | None, bool]:
        """Return the look at the next step, if it is one, and whether it is the best so far."""
        gains = self.judge.gains(rollouts)
        answers = guarded_rollouts(rollouts, self.prompts, entropy, gains, self.reward)
        look = self.guard.observe(answers)
        self.seen += 1
        if look is None or look.held_out_gain is None or look.held_out_gain <= self._best:
            return look, False
        self._best = look.held_out_gain
        return look, True

    def _stored(self, step: int) -> list[RolloutRecord]:
        rows = self.store.rows(RolloutRecord, "model_id = ? AND step = ?", [self.model_id, step])
        return sorted(rows, key=lambda row: row.row)

    def _stored_entropy(self, step: int) -> float:
        where = "model_id = ? AND step = ? AND name = 'entropy'"
        (metric,) = self.store.rows(Metric, where, [self.model_id, step])
        return metric.value


def open_guard(
    cycle: Cycle,
    store: Store,
    model_id: str,
    prompts: Sequence[Prompt],
    start_id: str,
    trunk: Trunk,
    reader: RewardReader | None,
    sampler: Sampler = LOCAL,
) -> TrainingGuard | None:
    """Return the guard of a policy's training; None if it is off, or there is nothing to watch.

    Args:
        cycle: The cycle under way.
        store: The store.
        model_id: The policy that is trained.
        prompts: Prompts of the training.
        start_id: The champion or SFT model that the training begins from.
        trunk: Acts as that model in the policy's role.
        reader: Reads answers with the reward model; None if it is no part of the reward.
        sampler: Samples the tokens of answers that are missing.
    """
    if not is_watched(cycle.config):
        return None
    baseline = _baseline(cycle, store, start_id, prompts, trunk, sampler)
    signs = signs_of(reader, policy_chat(trunk.tokenizer, cycle.config.policy), prompts, baseline)
    return TrainingGuard(cycle, store, model_id, prompts, baseline, signs)


def is_watched(config: Config) -> bool:
    """Return True if the guard watches the training of a config's policies."""
    return config.guard.action != "off" and isinstance(config.training, OnlineSettings)


def _baseline(
    cycle: Cycle,
    store: Store,
    start_id: str,
    prompts: Sequence[Prompt],
    trunk: Trunk,
    sampler: Sampler,
) -> Answers:
    """Return the answers that the cycle sampled from the first policy; if none, sample them now."""
    own = cycle.config.sampling
    if own.endpoint is None:
        batch = cycle.batch(start_id, own, cycle.number)
    else:
        own = own.model_copy(update={"endpoint": None})
        batch = cycle.batch(start_id, own, "guard")
        if shards := missing_shards(store, batch, prompts, own.candidates):
            answering = policy_sampler(cycle, trunk, Role.POLICY, own, sampler)
            sample_shards(store, answering, batch, own, shards, "sampling for the guard")
    return queries.candidates_by_prompt(store, start_id, batch.sampling, batch.seed, prompts)


def estimate(work: CycleWork) -> list[Row]:
    """Estimate the judgements of the guard's judge while the policy trains."""
    config, settings = work.config, work.config.training
    if config.guard.action == "off" or not isinstance(settings, OnlineSettings):
        return []
    panelist = Panelist(guarding_judge(config))
    if panelist.is_pairwise:
        calls = 2 * settings.answers
    else:
        shown = min(len(work.train), settings.steps * settings.prompts_per_step)
        calls = settings.answers + shown * config.sampling.candidates
    row = work.judgements("train_policy", panelist, calls)
    return [Row(row.stage, f"{row.what} for the guard", row.count, row.seconds, row.cost_usd)]


def _metrics(model_id: str, look: Look) -> list[Metric]:
    """Return the figures of a look that are known."""
    figures = {f"guard_{name}": value for name, value in look.values.items()}
    figures["guard_reward_gain"] = math.nan if look.reward_gain is None else look.reward_gain
    figures["guard_held_out_gain"] = math.nan if look.held_out_gain is None else look.held_out_gain
    figures["guard_alarms"] = float(len(look.alarms))
    metric = partial(Metric, model_id=model_id, step=look.step)
    return [metric(name=name, value=value) for name, value in figures.items() if value == value]
