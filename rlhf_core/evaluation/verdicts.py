"""Verdicts of judges on labelled answers, in the form that figures are computed from."""

from dataclasses import dataclass

from rlhf_core.preferences.votes import margin_of_scores
from rlhf_core.records import Outcome

LENGTH_BASELINE = "longer wins"
"""Baseline for every judge: the answer with more characters is better."""


@dataclass(frozen=True)
class PairVerdict:
    """One judge's verdict on one pair.

    `first` and `second` are the scores of the two answers, 0 to 1; for a judge that compares, the
    probability of each to win when it is shown first. Either both are set or neither. `scale` is
    the scale of the scores; None for a judge that compares.
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
        """Margin by which the judge prefers the first answer, −1 to 1, on its own scale."""
        if self.first is None or self.second is None:
            return None
        return self.first - self.second

    @property
    def probability(self) -> float | None:
        """Probability that the first answer is better: the judge's soft label in the panel."""
        if self.first is None or self.second is None:
            return None
        if self.scale is None:
            return (1 + self.first - self.second) / 2
        return (1 + margin_of_scores(self.first, self.second, self.scale)) / 2


@dataclass(frozen=True)
class TextVerdict:
    """One judge's verdict on one text: a score from 0 to 1, or the reason why there is none."""

    outcome: Outcome
    score: float | None = None

    @property
    def scores(self) -> tuple[float, ...]:
        return () if self.score is None else (self.score,)

    @property
    def probability(self) -> float | None:
        """Probability that the label is 1, if the score is read as one."""
        return self.score


@dataclass(frozen=True)
class Figure:
    """One number of a judge; deploy/docs/metrics.md defines each name.

    `facet` is the part that it is about: a subset, another judge, an attack; empty for the whole.
    """

    metric: str
    value: float
    n: int
    low: float | None = None
    high: float | None = None
    facet: str = ""


def pair_verdict(
    first: float | None, second: float | None, missing: Outcome | None, scale: float | None = None
) -> PairVerdict:
    """Return the verdict on a pair with these scores.

    Args:
        first: Score of the first answer, or its probability to win when shown first.
        second: The same for the second answer.
        missing: Reason why one of them is None.
        scale: Scale of the scores; None for a judge that compares.

    Returns:
        The verdict; without scores if either is None.
    """
    if first is None or second is None:
        return PairVerdict(missing or Outcome.ABSTAINS)
    if first == second:
        return PairVerdict(Outcome.TIE, first, second, scale)
    return PairVerdict(Outcome.FIRST if first > second else Outcome.SECOND, first, second, scale)
