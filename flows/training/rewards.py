"""The reward that a config asks for: the reward model, judges, or both, weighted."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from flows.cycle.silence import SilenceCounter
from judges import Answer, Ledger, Opinion, PointwiseJudge, load
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
    """The judges inside a reward, and what they said of the answers scored last.

    Args:
        ledger: Where they find what was said before.
        limits: How many verdicts may be missing.
    """

    ledger: Ledger
    limits: JudgingSettings
    _said: dict[tuple[int, str], dict[str, tuple[str, Opinion]]] = field(default_factory=dict)
    """By prompt and text of an answer: opinions by name, each with the judge's version."""
    _attendance: dict[str, SilenceCounter] = field(default_factory=dict)
    """By name of the judge, over the whole training."""

    def count(self, judge: JudgeSettings, opinions: Sequence[Opinion]) -> None:
        """Count opinions; raises SilentJudgeError where too many of this judge are missing."""
        attendance = self._attendance.setdefault(judge.name, SilenceCounter(judge, self.limits))
        for opinion in opinions:
            attendance.add(opinion.outcome, opinion.reason)
        attendance.check(is_over=False)

    def close(self) -> None:
        """Look once more at judges that were asked little; raises SilentJudgeError, as `count`."""
        for attendance in self._attendance.values():
            attendance.check(is_over=True)

    def hear(self, rollout: Rollout, judge: str, version: str, opinion: Opinion) -> None:
        said = self._said.setdefault((rollout.prompt_index, rollout.text), {})
        said[judge] = (version, opinion)

    def take(
        self, rollouts: Sequence[Rollout], records: Sequence[RolloutRecord]
    ) -> list[RolloutVerdict]:
        """What was said of each answer, which is then forgotten.

        Args:
            rollouts: Answers, as they were scored.
            records: The row of each.
        """
        found = [
            RolloutVerdict(
                model_id=record.model_id,
                rollout_id=record.id,
                judge=judge,
                judge_version=version,
                **{name: value for name, value in vars(opinion).items() if name != "probability"},
            )
            for rollout, record in zip(rollouts, records, strict=True)
            for judge, (version, opinion) in self._said.get(
                (rollout.prompt_index, rollout.text), {}
            ).items()
        ]
        self._said.clear()
        return found


def build_reward(
    settings: RewardSettings,
    trunk: Trunk,
    prompts: Sequence[Prompt],
    bench: RankZeroOnly[RewardJudges],
) -> Reward:
    """The weighted sum that the settings name; parts of weight 0 are left out.

    Of several processes all score with the reward model, and the first one asks the judges.
    """
    parts = {}
    if settings.reward_model > 0:
        score = reward_model_score(trunk, settings.caution)
        parts[PROXY] = RewardPart(settings.reward_model, score)
    for judge in settings.judges:
        if judge.weight > 0:
            concerns = partial(_is_asked, judge, prompts)
            parts[judge.name] = RewardPart(judge.weight, _judged(judge, prompts, bench), concerns)
    return weighted_sum(parts)


def check_rewards(training: TrainingSettings) -> dict[str, tuple[str, ...]]:
    """Refuse judges that cannot reward, before hours are spent.

    Returns:
        The models behind each of them, by its version.

    Raises:
        ConfigError: For a judge that compares two answers.
        InputError: As the judge's own check.
    """
    judges = [load_rewarding(settings) for settings in rewarding_judges(training)]
    for judge in judges:
        judge.check()
    return {judge.version: judge.models() for judge in judges}


def load_rewarding(settings: JudgeSettings, ledger: Ledger | None = None) -> PointwiseJudge[Any]:
    judge = load(settings, ledger)
    if not isinstance(judge, PointwiseJudge):
        raise ConfigError(
            f"training.reward.judges: {settings.name!r} compares two answers, and a reward is of "
            "one; name a judge that scores each alone"
        )
    return judge


def _judged(
    settings: JudgeSettings, prompts: Sequence[Prompt], bench: RankZeroOnly[RewardJudges]
) -> Callable[[Sequence[Rollout]], Tensor]:
    kept = bench.value
    judge = load_rewarding(settings, kept.ledger) if kept is not None else None
    if judge is not None:
        _preflight(settings.name, judge)

    def ask(rollouts: Sequence[Rollout]) -> Tensor:
        assert judge is not None
        assert kept is not None
        asked = [
            (place, Answer(prompts[rollout.prompt_index], rollout.text, rollout.is_finished))
            for place, rollout in enumerate(rollouts)
            if _is_asked(settings, prompts, rollout)
        ]
        scores = [math.nan] * len(rollouts)
        opinions = judge.score([answer for _, answer in asked]) if asked else []
        _refuse_silence(settings.name, opinions)
        kept.count(settings, opinions)
        for (place, _), opinion in zip(asked, opinions, strict=True):
            scores[place] = math.nan if opinion.score is None else opinion.score
            kept.hear(rollouts[place], settings.name, judge.version, opinion)
        kept.ledger.flush()
        return torch.tensor(scores)

    return lambda rollouts: from_rank_zero(partial(ask, rollouts))


def _preflight(name: str, judge: PointwiseJudge[Any]) -> None:
    try:
        judge.preflight()
    except EndpointError as error:
        raise EndpointError(f"training.reward.judges: {name!r}: {error}") from None


def _is_asked(settings: JudgeSettings, prompts: Sequence[Prompt], rollout: Rollout) -> bool:
    return prompts[rollout.prompt_index].mode in settings.modes


def _refuse_silence(name: str, opinions: Sequence[Opinion]) -> None:
    """A judge that nobody can reach must not be learnt from as if it had no opinion."""
    if opinions and all(opinion.outcome is Outcome.UNAVAILABLE for opinion in opinions):
        raise TrainingError(
            f"training.reward.judges: {name!r} answered none of {len(opinions)} questions "
            f"({opinions[0].reason}); run again to go on from the last checkpoint"
        )
