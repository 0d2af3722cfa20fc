"""The reward of a config: the weighted sum of the reward model and judges."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from flows.cycle.silence import SilenceCounter
from judges import Answer, Ledger, Opinion, PointwiseJudge, load
from rlhf_core.algorithms.reward_reader import RewardReader
from rlhf_core.algorithms.rewards import Reward, RewardPart, reward_model_score, weighted_sum
from rlhf_core.algorithms.rollouts import Rollout
from rlhf_core.config import JudgeSettings
from rlhf_core.config.training import RewardSettings, TrainingSettings
from rlhf_core.config.tree import JudgingSettings, rewarding_judges
from rlhf_core.distributed.collective import RankZeroOnly
from rlhf_core.distributed.ranks import from_rank_zero
from rlhf_core.errors import ConfigError, EndpointError, TrainingError
from rlhf_core.models.trunk import Trunk
from rlhf_core.records import PROXY, Outcome, Prompt, RolloutRecord, RolloutVerdict


@dataclass(frozen=True)
class RewardJudges:
    """State of the judges in a reward: their ledger, counters, and opinions on the last batch.

    Args:
        ledger: Replies of the judges' models.
        limits: Share of verdicts that may be missing.
    """

    ledger: Ledger
    limits: JudgingSettings
    _opinions: dict[tuple[int, str], dict[str, tuple[str, Opinion]]] = field(default_factory=dict)
    """Versions and opinions of the judges by name, for each prompt index and text of an answer."""
    _counters: dict[str, SilenceCounter] = field(default_factory=dict)
    """One counter for each judge over the whole training, by the judge's name."""

    def count(self, judge: JudgeSettings, opinions: Sequence[Opinion]) -> None:
        """Count opinions; raise SilentJudgeError if too many of this judge are missing."""
        counter = self._counters.setdefault(judge.name, SilenceCounter(judge, self.limits))
        for opinion in opinions:
            counter.add(opinion.outcome, opinion.reason)
        counter.check(is_over=False)

    def close(self) -> None:
        """Check the counters at the end; raise SilentJudgeError if a judge is too silent."""
        for counter in self._counters.values():
            counter.check(is_over=True)

    def add(self, rollout: Rollout, judge: str, version: str, opinion: Opinion) -> None:
        """Keep an opinion until `take`.

        Args:
            rollout: The answer.
            judge: Name of the judge.
            version: Version of the judge.
            opinion: Its opinion.
        """
        opinions = self._opinions.setdefault((rollout.prompt_index, rollout.text), {})
        opinions[judge] = (version, opinion)

    def take(
        self, rollouts: Sequence[Rollout], records: Sequence[RolloutRecord]
    ) -> list[RolloutVerdict]:
        """Return the opinions on some answers as rows, and clear all opinions.

        Args:
            rollouts: Answers that were scored.
            records: Their rows, in the same order.
        """
        verdicts = [
            RolloutVerdict(
                model_id=record.model_id,
                rollout_id=record.id,
                judge=judge,
                judge_version=version,
                **{name: value for name, value in vars(opinion).items() if name != "probability"},
            )
            for rollout, record in zip(rollouts, records, strict=True)
            for judge, (version, opinion) in self._opinions.get(
                (rollout.prompt_index, rollout.text), {}
            ).items()
        ]
        self._opinions.clear()
        return verdicts


def build_reward(
    settings: RewardSettings,
    trunk: Trunk,
    prompts: Sequence[Prompt],
    judges: RankZeroOnly[RewardJudges],
    reader: RewardReader | None = None,
) -> Reward:
    """Return the weighted sum of the settings, without parts of weight 0.

    All ranks score with the reward model; rank 0 calls the judges.

    Args:
        settings: Weights of the reward model and the judges.
        trunk: Trunk with the reward model.
        prompts: Prompts that rollouts refer to by index.
        judges: State of the judges, on rank 0.
        reader: Reads answers with the trunk's reward model; None reads scores and heads only.
    """
    parts = {}
    if settings.reward_model > 0:
        score = reward_model_score(reader or RewardReader(trunk), settings.caution)
        parts[PROXY] = RewardPart(settings.reward_model, score)
    for judge in settings.judges:
        if judge.weight > 0:
            concerns = partial(_applies_to, judge, prompts)
            parts[judge.name] = RewardPart(
                judge.weight, _judge_reward(judge, prompts, judges), concerns
            )
    return weighted_sum(parts)


def check_rewards(training: TrainingSettings) -> dict[str, tuple[str, ...]]:
    """Refuse judges that cannot be part of a reward, before hours are spent.

    Returns:
        The models of each judge, by judge version.

    Raises:
        ConfigError: If a judge compares two answers.
        InputError: If a judge's own check fails.
    """
    judges = [load_rewarding(settings) for settings in rewarding_judges(training)]
    for judge in judges:
        judge.check()
    return {judge.version: judge.models() for judge in judges}


def load_rewarding(settings: JudgeSettings, ledger: Ledger | None = None) -> PointwiseJudge[Any]:
    """Load a judge of the reward, which must score each answer alone."""
    judge = load(settings, ledger)
    if not isinstance(judge, PointwiseJudge):
        raise ConfigError(
            f"training.reward.judges: {settings.name!r} compares two answers, and a reward "
            "scores one; name a judge that scores each answer alone"
        )
    return judge


def _judge_reward(
    settings: JudgeSettings, prompts: Sequence[Prompt], judges: RankZeroOnly[RewardJudges]
) -> Callable[[Sequence[Rollout]], Tensor]:
    state = judges.value
    judge = load_rewarding(settings, state.ledger) if state is not None else None
    if judge is not None:
        _preflight(settings.name, judge)

    def score(rollouts: Sequence[Rollout]) -> Tensor:
        assert judge is not None
        assert state is not None
        due = [
            (place, Answer(prompts[rollout.prompt_index], rollout.text, rollout.is_finished))
            for place, rollout in enumerate(rollouts)
            if _applies_to(settings, prompts, rollout)
        ]
        due = [(place, answer) for place, answer in due if answer.has_begun]
        scores = [math.nan] * len(rollouts)
        opinions = judge.score([answer for _, answer in due]) if due else []
        _refuse_silence(settings.name, opinions)
        state.count(settings, opinions)
        for (place, _), opinion in zip(due, opinions, strict=True):
            scores[place] = math.nan if opinion.score is None else opinion.score
            state.add(rollouts[place], settings.name, judge.version, opinion)
        state.ledger.flush()
        return torch.tensor(scores)

    return lambda rollouts: from_rank_zero(partial(score, rollouts))


def _preflight(name: str, judge: PointwiseJudge[Any]) -> None:
    try:
        judge.preflight()
    except EndpointError as error:
        raise EndpointError(f"training.reward.judges: {name!r}: {error}") from None


def _applies_to(settings: JudgeSettings, prompts: Sequence[Prompt], rollout: Rollout) -> bool:
    return prompts[rollout.prompt_index].mode in settings.modes


def _refuse_silence(name: str, opinions: Sequence[Opinion]) -> None:
    """Stop if a judge is unreachable, rather than train as if it had no opinion."""
    if opinions and all(opinion.outcome is Outcome.UNAVAILABLE for opinion in opinions):
        raise TrainingError(
            f"training.reward.judges: {name!r} answered none of {len(opinions)} questions "
            f"({opinions[0].reason}); run again to resume from the last checkpoint"
        )
