"""Several judges decide together: by median, by majority, or by how reliable each is."""

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
    """Its members, each as it would stand in a config. One of weight 0 is heard and decides
    nothing; modes count as they do elsewhere."""
    method: Literal["median", "majority", "dawid_skene"] = "median"
    """median: the weighted median of the members' probabilities. majority: the weighted share of
    members for the first, a tie for half. dawid_skene: the probability by the members' reliability,
    which `solon judges train jury` learns from their votes."""
    reliability: str | None = None
    """For dawid_skene: the file that training wrote."""

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
            raise ValueError("no jury sits in a jury; name its members here")
        return self


@dataclass(frozen=True)
class Seat:
    """A member with its settings."""

    settings: JudgeSettings
    judge: Judge[Any]

    def hear(self, contests: Sequence[Contest]) -> list[Opinion | None]:
        """Its opinion on each contest; None on those of modes it does not judge."""
        is_asked = [contest.prompt.mode in self.settings.modes for contest in contests]
        asked = [c for c, is_its in zip(contests, is_asked, strict=True) if is_its]
        if isinstance(self.judge, PairwiseJudge):
            opinions = iter(self.judge.compare(asked))
        else:
            assert isinstance(self.judge, PointwiseJudge)
            opinions = iter(compare_scores(self.judge, asked, self.settings.scale))
        return [next(opinions) if is_its else None for is_its in is_asked]


class JuryJudge(PairwiseJudge[JuryOptions]):
    """Members without an opinion cast no vote; what each said stays in the raw output.

    Where one that votes could not be reached, the jury has no verdict yet and is asked again: the
    others' weight does not stand in for it.
    """

    Options = JuryOptions
    code = "3"

    def __init__(self, options: JuryOptions, ledger: Ledger | None = None) -> None:
        super().__init__(options, ledger)
        self._seats = [Seat(settings, load(settings, ledger)) for settings in options.judges]
        versions = [seat.judge.version for seat in self._seats]
        if len(set(versions)) < len(versions):
            raise ConfigError("judge 'jury': two members are the same judge; give it more weight")

    def fixed_text(self) -> str:
        """What the members' versions leave out: places and scales; and the learnt reliability."""
        settings = [seat.settings for seat in self._seats]
        places = [[own.weight, own.scale, *own.modes] for own in settings]
        learnt = self._reliability if self.options.method == "dawid_skene" else None
        return json.dumps([places, learnt and repr(learnt)])

    def models(self) -> tuple[str, ...]:
        return tuple(name for seat in self._seats for name in seat.judge.models())

    def check_machine(self) -> None:
        for seat in self._seats:
            seat.judge.check_machine()

    def members(self) -> tuple[Judge[Any], ...]:
        return tuple(seat.judge for seat in self._voters)

    def check(self) -> None:
        for seat in self._seats:
            seat.judge.check()
        if self.options.method == "dawid_skene":
            missing = {s.judge.version for s in self._voters} - set(self._reliability.confusion)
            if missing:
                raise ConfigError(
                    f"judge 'jury': {self.options.reliability} knows nothing of "
                    f"{', '.join(sorted(missing))}; train the jury anew"
                )

    def preflight(self) -> None:
        for seat in self._seats:
            seat.judge.preflight()

    def member_outcomes(
        self, raw_output: str | None
    ) -> list[tuple[JudgeSettings, Outcome, str | None]]:
        if raw_output is None:
            return []
        told = json.loads(raw_output)["members"]
        return [
            (seat.settings, Outcome(said["outcome"]), said["reason"])
            for seat, said in zip(self._seats, told, strict=True)
            if said["outcome"] is not None
        ]

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        works = [self._work(seat, prompt_tokens, answer_tokens) for seat in self._seats]
        parameters = max(work.parameters for work in works)
        tokens = sum(work.tokens * work.parameters for work in works) / max(parameters, 1)
        return Workload(tokens, parameters, sum(work.cost_usd for work in works))

    def compare(self, contests: Sequence[Contest]) -> list[Opinion]:
        heard = [seat.hear(contests) for seat in self._seats]
        return [self._decide([said[i] for said in heard]) for i in range(len(contests))]

    def votes(self, contests: Sequence[Contest]) -> list[dict[str, Outcome]]:
        """What reliability is learnt from: each voting member's outcome, by its version."""
        heard = {seat.judge.version: seat.hear(contests) for seat in self._voters}
        return [
            {
                version: opinion.outcome
                for version, said in heard.items()
                if (opinion := said[i]) is not None and opinion.probability is not None
            }
            for i in range(len(contests))
        ]

    def _decide(self, said: Sequence[Opinion | None]) -> Opinion:
        voted = [
            (seat, opinion.probability, opinion.outcome)
            for seat, opinion in zip(self._seats, said, strict=True)
            if opinion and opinion.probability is not None and seat.settings.weight > 0
        ]
        asked = [opinion for opinion in said if opinion]
        is_waiting = any(
            opinion is not None and opinion.outcome is Outcome.UNAVAILABLE
            for seat, opinion in zip(self._seats, said, strict=True)
            if seat.settings.weight > 0
        )
        if is_waiting:
            found = Opinion(Outcome.UNAVAILABLE, reason=self._reasons(said))
        elif voted:
            weighed = [(probability, seat.settings.weight) for seat, probability, _ in voted]
            if self.options.method == "median":
                found = verdict(weighted_median(weighed))
            elif self.options.method == "majority":
                found = verdict(majority(weighed))
            else:
                labels = {seat.judge.version: outcome for seat, _, outcome in voted}
                found = verdict(self._reliability.probability(labels))
        else:
            found = Opinion(Outcome.ABSTAINS, reason=self._reasons(said))
        spread = [probability for _, probability, _ in voted]
        made_of = {
            "members": [_told(s, o) for s, o in zip(self._seats, said, strict=True)],
            "spread": max(spread) - min(spread) if spread else None,
        }
        return with_costs(replace(found, raw_output=json.dumps(made_of)), asked)

    def _reasons(self, said: Sequence[Opinion | None]) -> str:
        told = [
            f"{seat.settings.name}: {opinion.reason if opinion else 'not its mode'}"
            for seat, opinion in zip(self._seats, said, strict=True)
            if seat.settings.weight > 0 and (opinion is None or opinion.probability is None)
        ]
        return "members without an opinion (" + "; ".join(told) + ")"

    def _work(self, seat: Seat, prompt_tokens: float, answer_tokens: float) -> Workload:
        work: Workload = seat.judge.workload(prompt_tokens, answer_tokens)
        if isinstance(seat.judge, PairwiseJudge):
            return work
        return Workload(2 * work.tokens, work.parameters, 2 * work.cost_usd)

    @property
    def _voters(self) -> list[Seat]:
        return [seat for seat in self._seats if seat.settings.weight > 0]

    @cached_property
    def _reliability(self) -> dawid_skene.Reliability:
        return dawid_skene.load(Path(self.options.reliability or "").expanduser())


def compare_scores(
    judge: PointwiseJudge[Any], contests: Sequence[Contest], scale: float
) -> list[Opinion]:
    """Contests by a judge that scores answers alone: σ of the difference of scores over its scale.

    Each distinct answer is scored once; what that took is counted where it first stands.
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
    found = verdict((1 + margin_of_scores(first.score or 0.0, second.score or 0.0, scale)) / 2)
    return with_costs(found, [first, second])


def weighted_median(weighed: Sequence[tuple[float, float]]) -> float:
    """The probability with half of the weight on either side; the middle, where two share it."""
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
    """The share of the weight that prefers the first; whoever is undecided counts for half."""
    votes = [(float(p > 0.5) if p != 0.5 else 0.5, weight) for p, weight in weighed]
    return sum(vote * weight for vote, weight in votes) / sum(weight for _, weight in votes)


def _told(seat: Seat, opinion: Opinion | None) -> dict[str, Any]:
    if opinion is None:
        return {"name": seat.settings.name, "outcome": None, "reason": "not its mode"}
    return {
        "name": seat.settings.name,
        "outcome": opinion.outcome,
        "probability": opinion.probability,
        "reason": opinion.reason,
    }


JUDGE = JuryJudge
