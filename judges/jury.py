"""Several judges decide together: by median, by majority, or by how reliable each juror is."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from judges import load
from judges.panel.judge import (
    Answer,
    Contest,
    Judge,
    Opinion,
    PairwiseJudge,
    PointwiseJudge,
    Workload,
    verdict,
    with_costs,
)
from judges.panel.ledger import Ledger
from rlhf_core.config import JudgeSettings, Settings
from rlhf_core.errors import ConfigError
from rlhf_core.evaluation import dawid_skene
from rlhf_core.preferences.votes import margin_of_scores
from rlhf_core.records import Outcome

KIND = "jury"


class JuryOptions(Settings):
    judges: Annotated[tuple[JudgeSettings, ...], Field(min_length=2)]
    """Its members, each as a config would list it. A member of weight 0 is recorded but decides
    nothing; modes apply as elsewhere."""
    method: Literal["median", "majority", "dawid_skene"] = "median"
    """median: the weighted median of the members' probabilities. majority: the weighted share of
    members for the first, a tie for half. dawid_skene: the probability by the members' reliability,
    which `solon judges train jury` learns from their votes."""
    reliability: str | None = None
    """The file that training wrote, for dawid_skene."""

    @model_validator(mode="after")
    def _makes_sense(self) -> "JuryOptions":
        learns = self.method == "dawid_skene"
        if learns != (self.reliability is not None):
            raise ValueError(
                "`reliability` belongs to method: dawid_skene, and that method needs one"
            )
        if learns and {member.weight for member in self.judges} - {0.0, 1.0}:
            raise ValueError("weights other than 0 and 1: reliability takes their place")
        if any(member.kind == KIND for member in self.judges):
            raise ValueError("a jury cannot be a member of a jury; list its members here")
        return self


@dataclass(frozen=True)
class Juror:
    """A member of a jury with its settings."""

    settings: JudgeSettings
    judge: Judge[Any]

    def compare(self, contests: Sequence[Contest]) -> list[Opinion | None]:
        """Return its opinion on each contest; None on those of modes it does not judge."""
        is_judged = [contest.prompt.mode in self.settings.modes for contest in contests]
        own = [contest for contest, is_own in zip(contests, is_judged, strict=True) if is_own]
        if isinstance(self.judge, PairwiseJudge):
            opinions = iter(self.judge.compare(own))
        else:
            assert isinstance(self.judge, PointwiseJudge)
            opinions = iter(compare_scores(self.judge, own, self.settings.scale))
        return [next(opinions) if is_own else None for is_own in is_judged]


class JuryJudge(PairwiseJudge[JuryOptions]):
    """Combines the opinions of its jurors; those without an opinion cast no vote.

    If a juror with a weight is unavailable, so is the jury, and the next run retries it: the other
    votes do not replace the missing one. The raw output holds every juror's opinion.
    """

    Options = JuryOptions
    code = "3"

    def __init__(self, options: JuryOptions, ledger: Ledger | None = None) -> None:
        super().__init__(options, ledger)
        self._jurors = [Juror(settings, load(settings, ledger)) for settings in options.judges]
        versions = [juror.judge.version for juror in self._jurors]
        if len(set(versions)) < len(versions):
            raise ConfigError("judge 'jury': two members are the same judge; give it more weight")

    def fixed_text(self) -> str:
        """Return weights, scales and modes, which no juror's version covers, and reliabilities."""
        settings = [juror.settings for juror in self._jurors]
        places = [[own.weight, own.scale, *own.modes] for own in settings]
        learnt = self._reliability if self.options.method == "dawid_skene" else None
        return json.dumps([places, learnt and repr(learnt)])

    def models(self) -> tuple[str, ...]:
        return tuple(name for juror in self._jurors for name in juror.judge.models())

    def check_machine(self) -> None:
        for juror in self._jurors:
            juror.judge.check_machine()

    def members(self) -> tuple[Judge[Any], ...]:
        return tuple(juror.judge for juror in self._voters)

    def check(self) -> None:
        for juror in self._jurors:
            juror.judge.check()
        if self.options.method == "dawid_skene":
            versions = {juror.judge.version for juror in self._voters}
            missing = versions - set(self._reliability.confusion)
            if missing:
                raise ConfigError(
                    f"judge 'jury': {self.options.reliability} holds no reliability of "
                    f"{', '.join(sorted(missing))}; train the jury again"
                )

    def preflight(self) -> None:
        for juror in self._jurors:
            juror.judge.preflight()

    def member_outcomes(
        self, raw_output: str | None
    ) -> list[tuple[JudgeSettings, Outcome, str | None]]:
        if raw_output is None:
            return []
        records = json.loads(raw_output)["members"]
        return [
            (juror.settings, Outcome(record["outcome"]), record["reason"])
            for juror, record in zip(self._jurors, records, strict=True)
            if record["outcome"] is not None
        ]

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        works = [self._work(juror, prompt_tokens, answer_tokens) for juror in self._jurors]
        parameters = max(work.parameters for work in works)
        tokens = sum(work.tokens * work.parameters for work in works) / max(parameters, 1)
        return Workload(tokens, parameters, sum(work.cost_usd for work in works))

    def compare(self, contests: Sequence[Contest]) -> list[Opinion]:
        by_juror = [juror.compare(contests) for juror in self._jurors]
        return [self._decide([own[i] for own in by_juror]) for i in range(len(contests))]

    def votes(self, contests: Sequence[Contest]) -> list[dict[str, Outcome]]:
        """Return each contest's votes by the juror's version, from which reliability is learnt."""
        by_juror = {juror.judge.version: juror.compare(contests) for juror in self._voters}
        return [
            {
                version: opinion.outcome
                for version, opinions in by_juror.items()
                if (opinion := opinions[i]) is not None and opinion.probability is not None
            }
            for i in range(len(contests))
        ]

    def _decide(self, opinions: Sequence[Opinion | None]) -> Opinion:
        votes = [
            (juror, opinion.probability, opinion.outcome)
            for juror, opinion in zip(self._jurors, opinions, strict=True)
            if opinion and opinion.probability is not None and juror.settings.weight > 0
        ]
        is_waiting = any(
            opinion is not None and opinion.outcome is Outcome.UNAVAILABLE
            for juror, opinion in zip(self._jurors, opinions, strict=True)
            if juror.settings.weight > 0
        )
        if is_waiting:
            decision = Opinion(Outcome.UNAVAILABLE, reason=self._reasons(opinions))
        elif votes:
            weighed = [(probability, juror.settings.weight) for juror, probability, _ in votes]
            if self.options.method == "median":
                decision = verdict(weighted_median(weighed))
            elif self.options.method == "majority":
                decision = verdict(majority(weighed))
            else:
                labels = {juror.judge.version: outcome for juror, _, outcome in votes}
                decision = verdict(self._reliability.probability(labels))
        else:
            decision = Opinion(Outcome.ABSTAINS, reason=self._reasons(opinions))
        spread = [probability for _, probability, _ in votes]
        made_of = {
            "members": [_record(j, o) for j, o in zip(self._jurors, opinions, strict=True)],
            "spread": max(spread) - min(spread) if spread else None,
        }
        records = [opinion for opinion in opinions if opinion]
        return with_costs(replace(decision, raw_output=json.dumps(made_of)), records)

    def _reasons(self, opinions: Sequence[Opinion | None]) -> str:
        reasons = [
            f"{juror.settings.name}: {opinion.reason if opinion else 'not its mode'}"
            for juror, opinion in zip(self._jurors, opinions, strict=True)
            if juror.settings.weight > 0 and (opinion is None or opinion.probability is None)
        ]
        return "members without an opinion (" + "; ".join(reasons) + ")"

    def _work(self, juror: Juror, prompt_tokens: float, answer_tokens: float) -> Workload:
        work: Workload = juror.judge.workload(prompt_tokens, answer_tokens)
        if isinstance(juror.judge, PairwiseJudge):
            return work
        return Workload(2 * work.tokens, work.parameters, 2 * work.cost_usd)

    @property
    def _voters(self) -> list[Juror]:
        return [juror for juror in self._jurors if juror.settings.weight > 0]

    @cached_property
    def _reliability(self) -> dawid_skene.Reliability:
        return dawid_skene.load(Path(self.options.reliability or "").expanduser())


def compare_scores(
    judge: PointwiseJudge[Any], contests: Sequence[Contest], scale: float
) -> list[Opinion]:
    """Compare answers with a judge that scores them alone: P = σ((score₁ − score₂) / scale).

    Each distinct answer is scored once.

    Args:
        judge: The judge.
        contests: The pairs of answers.
        scale: Difference of scores that counts as one unit of log-odds.

    Returns:
        An opinion on each contest, in order.
    """
    answers = {_key(answer): answer for contest in contests for answer in contest.answers}
    scores = dict(zip(answers, judge.score(list(answers.values())), strict=True))
    both = [[scores[_key(answer)] for answer in contest.answers] for contest in contests]
    return [_difference(first, second, scale) for first, second in both]


def _key(answer: Answer) -> tuple[str, str, bool]:
    return answer.prompt.id, answer.text, answer.is_finished


def _difference(first: Opinion, second: Opinion, scale: float) -> Opinion:
    for opinion in (first, second):
        if opinion.score is None:
            return opinion
    margin = margin_of_scores(first.score or 0.0, second.score or 0.0, scale)
    return with_costs(verdict((1 + margin) / 2), [first, second])


def weighted_median(weighed: Sequence[tuple[float, float]]) -> float:
    """Return the weighted median of probabilities; of two middle ones, their mean.

    Args:
        weighed: Pairs of a probability and its weight.
    """
    ordered = sorted(weighed)
    half, below = sum(weight for _, weight in ordered) / 2, 0.0
    for place, (probability, weight) in enumerate(ordered):
        below += weight
        if below == half:
            return (probability + ordered[place + 1][0]) / 2
        if below > half:
            break
    return probability


def majority(weighed: Sequence[tuple[float, float]]) -> float:
    """Return the share of the weight that prefers the first answer; a tie counts as one half.

    Args:
        weighed: Pairs of a probability and its weight.
    """
    votes = [(float(p > 0.5) if p != 0.5 else 0.5, weight) for p, weight in weighed]
    return sum(vote * weight for vote, weight in votes) / sum(weight for _, weight in votes)


def _record(juror: Juror, opinion: Opinion | None) -> dict[str, Any]:
    if opinion is None:
        return {"name": juror.settings.name, "outcome": None, "reason": "not its mode"}
    return {
        "name": juror.settings.name,
        "outcome": opinion.outcome,
        "probability": opinion.probability,
        "reason": opinion.reason,
    }


JUDGE = JuryJudge
