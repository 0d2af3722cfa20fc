"""Votes of judges on pairs of candidates, and the rules by which judges are combined.

Every judge is expressed in probabilities. A judge that compares gives them; of a judge that scores,
P = σ of the difference of two scores over the judge's scale. Only opinions count: an unparsed or
unavailable verdict is no vote, and a pairwise judge counts for a pair only if both orders were
readable.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, NamedTuple, TypeVar

from rlhf_core.config.judge import DEFAULT_SCALE
from rlhf_core.identity import content_id
from rlhf_core.records import Judgement, Outcome

OPINIONS = frozenset({Outcome.SCORED, Outcome.FIRST, Outcome.SECOND, Outcome.TIE})
SILENCE = frozenset({Outcome.UNPARSED, Outcome.UNAVAILABLE})
"""Outcomes without a verdict although one was requested; an abstention is no silence."""
MODEL = "bradley-terry 1"
"""Part of every recipe; change it by hand with every change of rankings or labels."""

Missing = Literal["unscored", "reweigh"]


@dataclass(frozen=True)
class Combination:
    """Rules by which judges are combined."""

    weights: Mapping[str, float]
    """Weight of each judge version that decides; above 0."""
    tie_margin: float
    """Largest |2 P − 1| of a tie."""
    scales: Mapping[str, float] = field(default_factory=dict)
    """Scale of each judge version that scores; DEFAULT_SCALE for those that are absent."""
    missing: Missing = "unscored"
    """Treatment of a pair for which a judge was queried and has no readable verdict."""

    @classmethod
    def of(
        cls,
        judges: Iterable[tuple[str, float, float]],
        tie_margin: float,
        missing: Missing = "unscored",
    ) -> "Combination":
        """Return the combination of the judges that have a weight.

        Args:
            judges: Version, weight and scale of each judge.
            tie_margin: Largest |2 P − 1| of a tie.
            missing: Treatment of a pair that lacks a judge's readable verdict.
        """
        deciding = [judge for judge in judges if judge[1] > 0]
        return cls(
            {version: weight for version, weight, _ in deciding},
            tie_margin,
            {version: scale for version, _, scale in deciding},
            missing,
        )

    @property
    def recipe(self) -> str:
        """Id under which rankings made this way are stored."""
        scales = {version: self.scales.get(version, DEFAULT_SCALE) for version in self.weights}
        return content_id(
            "combination", MODEL, dict(self.weights), scales, self.tie_margin, self.missing
        )


def margin_of_scores(score: float, other: float, scale: float) -> float:
    """Return 2 P − 1, where P = σ((score − other) / scale) is the chance that the first is better.

    Args:
        score: Score of the first answer.
        other: Score of the second answer.
        scale: Difference of scores at which the odds are e to 1.
    """
    return math.tanh((score - other) / (2 * scale))


class JudgementRow(NamedTuple):
    """The fields of a judgement that decide rankings; a tenth of the cost of a whole record."""

    prompt_id: str
    judge_version: str
    candidate_id: str
    opponent_id: str | None
    outcome: str
    score: float | None
    probability: float | None


_Question = tuple[str, str, str | None]
"""Judge version, candidate and opponent."""
AnyJudgement = TypeVar("AnyJudgement", Judgement, JudgementRow)


class Votes(Generic[AnyJudgement]):
    """The readable judgements of a set of candidates, by judge version.

    Args:
        judgements: Judgements of these candidates, by any judges.
        scales: Scale of each judge version that scores; DEFAULT_SCALE for those that are absent.
    """

    def __init__(
        self, judgements: Iterable[AnyJudgement], scales: Mapping[str, float] | None = None
    ) -> None:
        self._scales = scales or {}
        self._opinions: dict[_Question, AnyJudgement] = {}
        silent: set[_Question] = set()
        for judgement in judgements:
            question = judgement.judge_version, judgement.candidate_id, judgement.opponent_id
            if judgement.outcome in OPINIONS:
                self._opinions[question] = judgement
            elif judgement.outcome in SILENCE:
                silent.add(question)
        self._silent = silent - self._opinions.keys()  # a later attempt may have succeeded
        self._margins: dict[tuple[str, str, str], float | None] = {}

    def margin(self, version: str, left: str, right: str) -> float | None:
        """Return by how much a judge prefers left to right, on the same scale for all judges.

        Args:
            version: Version of the judge.
            left: Id of a candidate.
            right: Id of another candidate.

        Returns:
            2 P − 1 from −1 to 1, where P is the probability that left is better; None without an
            opinion.
        """
        key = version, left, right
        if key not in self._margins:
            self._margins[key] = self._margin(version, left, right)
        return self._margins[key]

    def _margin(self, version: str, left: str, right: str) -> float | None:
        opinions = self.judgements_of(version, left, right)
        if len(opinions) < 2:
            return None
        one, other = opinions
        if one.opponent_id is None:
            scale = self._scales.get(version, DEFAULT_SCALE)
            return margin_of_scores(one.score or 0.0, other.score or 0.0, scale)
        # Both orders were shown, so a preference for a position cancels out.
        return _probability(one) - _probability(other)

    def is_silent(self, version: str, left: str, right: str) -> bool:
        """Return True if a judge gave no verdict on a question about two candidates.

        Args:
            version: Version of the judge.
            left: Id of a candidate.
            right: Id of another candidate.
        """
        questions: list[_Question] = [
            (version, left, None),
            (version, right, None),
            (version, left, right),
            (version, right, left),
        ]
        return bool(self._silent) and any(one in self._silent for one in questions)

    def judgements_of(self, version: str, left: str, right: str) -> list[AnyJudgement]:
        """Return the judgements that a margin is computed from: two scores, or both orders.

        Args:
            version: Version of the judge.
            left: Id of a candidate.
            right: Id of another candidate.
        """
        opinions = self._opinions
        one = opinions.get((version, left, None))
        if one is not None:
            other = opinions.get((version, right, None))
        else:
            one = opinions.get((version, left, right))
            other = opinions.get((version, right, left))
        return [judgement for judgement in (one, other) if judgement is not None]


def _probability(judgement: AnyJudgement) -> float:
    return judgement.probability if judgement.probability is not None else 0.5
