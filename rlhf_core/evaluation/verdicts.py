"""What judges made of labelled answers, in the form their figures are computed from."""

from dataclasses import dataclass

from rlhf_core.preferences.ranking import margin_of_scores
from rlhf_core.records import Outcome

LENGTH_BASELINE = "longer wins"
"""The judge that every other one stands beside: the answer with more characters is better."""


@dataclass(frozen=True)
class PairVerdict:
    """What one judge made of one pair.

    `first` and `second` are the scores of the two answers, 0 to 1; of a judge that compares, the
    probability of each to win when it is shown first. Both are there, or neither. `scale` is that
    of the scores; None of a judge that compares.
    """

    outcome: Outcome
    first: float | None = None
    second: float | None = None
    scale: float | None = None

    @property
    def scores(self) -> tuple[float, ...]:
        """Both scores, or none."""
        return () if self.first is None or self.second is None else (self.first, self.second)

    @property
    def margin(self) -> float | None:
        """By how much the first is preferred, −1 to 1, as the judge itself reckons it."""
        if self.first is None or self.second is None:
            return None
        return self.first - self.second

    @property
    def probability(self) -> float | None:
        """Of the first being better: the judge's soft label, as the panel reckons it."""
        if self.first is None or self.second is None:
            return None
        if self.scale is None:
            return (1 + self.first - self.second) / 2
        return (1 + margin_of_scores(self.first, self.second, self.scale)) / 2


@dataclass(frozen=True)
class TextVerdict:
    """What one judge made of one text: a score from 0 to 1, or why there is none."""

    outcome: Outcome
    score: float | None = None

    @property
    def scores(self) -> tuple[float, ...]:
        return () if self.score is None else (self.score,)

    @property
    def probability(self) -> float | None:
        """Of the label being 1, if the score is taken for one."""
        return self.score


@dataclass(frozen=True)
class Figure:
    """One number of a judge; deploy/docs/metrics.md says what each name means.

    `facet` is the part it is about: a subset, another judge, an attack; empty for the whole.
    """

    metric: str
    value: float
    n: int
    low: float | None = None
    high: float | None = None
    facet: str = ""


def compared(
    first: float | None, second: float | None, missing: Outcome | None, scale: float | None = None
) -> PairVerdict:
    """The verdict on a pair from what is known of its two answers.

    Args:
        first: Score of the first answer, or its probability to win when shown first.
        second: The same of the second.
        missing: Why one of them is not there.
        scale: Of the scores; None of a judge that compares.
    """
    if first is None or second is None:
        return PairVerdict(missing or Outcome.ABSTAINS)
    if first == second:
        return PairVerdict(Outcome.TIE, first, second, scale)
    return PairVerdict(Outcome.FIRST if first > second else Outcome.SECOND, first, second, scale)
