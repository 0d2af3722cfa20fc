"""From judgements to the ranking of a prompt's candidates, and from that to its pairs.

The one place where orders and judges are combined. Only opinions count: an unparsed or unavailable
verdict is no vote, and a pairwise judge counts for a pair only when both orders were readable.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Generic, NamedTuple, TypeVar

from rlhf_core.identity import content_id
from rlhf_core.records import Candidate, Judgement, Outcome, Pair, PairOutcome, Ranking

OPINIONS = frozenset({Outcome.SCORED, Outcome.FIRST, Outcome.SECOND, Outcome.TIE})


@dataclass(frozen=True)
class Combination:
    """How judges are combined."""

    weights: Mapping[str, float]
    """Of each judge version that decides; above 0."""
    tie_margin: float
    """Utilities that differ by no more than this are tied."""

    @classmethod
    def of(cls, judges: Iterable[tuple[str, float]], tie_margin: float) -> "Combination":
        """Of judge versions and their weights: only those with a weight decide."""
        return cls({version: weight for version, weight in judges if weight > 0}, tie_margin)

    @property
    def recipe(self) -> str:
        """Id under which rankings made this way are kept."""
        return content_id("combination", dict(self.weights), self.tie_margin)


class Said(NamedTuple):
    """What counts of a judgement, for those who only count: a tenth of a record's work."""

    prompt_id: str
    judge_version: str
    candidate_id: str
    opponent_id: str | None
    outcome: str
    score: float | None
    probability: float | None


AnyJudgement = TypeVar("AnyJudgement", Judgement, Said)


class Votes(Generic[AnyJudgement]):
    """The readable judgements of a set of candidates, by judge version."""

    def __init__(self, judgements: Iterable[AnyJudgement]) -> None:
        self._opinions: dict[tuple[str, str, str | None], AnyJudgement] = {
            (judgement.judge_version, judgement.candidate_id, judgement.opponent_id): judgement
            for judgement in judgements
            if judgement.outcome in OPINIONS
        }
        self._margins: dict[tuple[str, str, str], float | None] = {}

    def margin(self, version: str, left: str, right: str) -> float | None:
        """By how much a judge prefers left to right, −1 to 1; None where it has no opinion."""
        key = version, left, right
        if key not in self._margins:
            self._margins[key] = self._margin(version, left, right)
        return self._margins[key]

    def _margin(self, version: str, left: str, right: str) -> float | None:
        opinions = self.behind(version, left, right)
        if len(opinions) < 2:
            return None
        one, other = opinions
        if one.opponent_id is None:
            return (one.score or 0.0) - (other.score or 0.0)
        # Shown in both orders, so that a preference for a place cancels out.
        return _probability(one) - _probability(other)

    def behind(self, version: str, left: str, right: str) -> list[AnyJudgement]:
        """The judgements that a margin is made of: two scores, or a contest in both orders."""
        opinions = self._opinions
        one = opinions.get((version, left, None))
        if one is not None:
            other = opinions.get((version, right, None))
        else:
            one = opinions.get((version, left, right))
            other = opinions.get((version, right, left))
        return [judgement for judgement in (one, other) if judgement is not None]


Margins = dict[tuple[str, str], float]
"""By how much all judges together prefer one to the other, of every two that they can compare."""


def margins_of(ids: Sequence[str], votes: Votes[AnyJudgement], combination: Combination) -> Margins:
    """Of every two candidates, each pair once, in the order of `ids`."""
    return {
        (left, right): margin
        for left, right in combinations(ids, 2)
        if (margin := _combined(votes, combination, left, right)) is not None
    }


def utilities_of(ids: Sequence[str], margins: Margins) -> dict[str, float]:
    """What each candidate is worth; empty where no two can be compared.

    A candidate's utility is its mean margin over the others, which for scores is the score itself
    but for a constant; contradictory pairwise verdicts average out (Borda's rule). The candidate
    counts among the others, with a margin of 0: so of K candidates that can all be compared,
    utilities differ by 2 − 2/K at most, where one wins and another loses against all.
    """
    won: dict[str, list[float]] = {id: [] for id in ids}
    for (left, right), margin in margins.items():
        won[left].append(margin)
        won[right].append(-margin)
    return {id: math.fsum(over) / (len(over) + 1) for id, over in won.items() if over}


class Preference(NamedTuple):
    """What two candidates come to. Chosen and rejected are None for ties and the unscored."""

    left_id: str
    right_id: str
    outcome: PairOutcome
    chosen_id: str | None = None
    rejected_id: str | None = None
    margin: float | None = None


def preferences_of(
    ids: Sequence[str], utilities: Mapping[str, float], tie_margin: float
) -> list[Preference]:
    """Every two candidates: preferred by their utilities, tied, or unscored."""
    found = []
    for left, right in combinations(ids, 2):
        if left not in utilities or right not in utilities:
            found.append(Preference(left, right, PairOutcome.UNSCORED))
            continue
        margin = utilities[left] - utilities[right]
        if abs(margin) <= tie_margin:
            found.append(Preference(left, right, PairOutcome.TIE, margin=abs(margin)))
            continue
        sides = (left, right) if margin > 0 else (right, left)
        found.append(Preference(left, right, PairOutcome.PREFERRED, *sides, abs(margin)))
    return found


def rankings_and_pairs(
    groups: Iterable[Sequence[Candidate]],
    judgements: Iterable[Judgement],
    combination: Combination,
    config_hash: str,
) -> tuple[list[Ranking], list[Pair]]:
    """What pairing makes of all that was judged.

    Args:
        groups: Candidates that are ranked together, each group of one prompt.
        judgements: Of these candidates, by any judges.
        combination: How they are combined.
        config_hash: Written into the pairs.
    """
    by_prompt: defaultdict[str, list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        by_prompt[judgement.prompt_id].append(judgement)
    rankings: list[Ranking] = []
    pairs: list[Pair] = []
    for group in groups:
        said = by_prompt[group[0].prompt_id] if group else []
        ranking = rank(group, said, combination)
        if ranking is not None:
            rankings.append(ranking)
            pairs += pairs_of(ranking, group, said, combination, config_hash)
    return rankings, pairs


def rank(
    candidates: Sequence[Candidate], judgements: Iterable[Judgement], combination: Combination
) -> Ranking | None:
    """The candidates of one prompt from best to worst; None where no two can be compared."""
    votes = Votes(judgements)
    ids = [candidate.id for candidate in candidates]
    margins = margins_of(ids, votes, combination)
    utilities = utilities_of(ids, margins)
    if not utilities:
        return None
    ordered = sorted(utilities, key=lambda candidate_id: -utilities[candidate_id])
    compared = [two for left, right in margins for two in ((left, right), (right, left))]
    used = {j.id for two in compared for v in combination.weights for j in votes.behind(v, *two)}
    return Ranking(
        prompt_id=candidates[0].prompt_id,
        model_id=candidates[0].model_id,
        seed=candidates[0].seed,
        recipe=combination.recipe,
        candidate_ids=tuple(ordered),
        utilities=tuple(utilities[candidate_id] for candidate_id in ordered),
        judgement_ids=tuple(sorted(used)),
    )


def pairs_of(
    ranking: Ranking,
    candidates: Sequence[Candidate],
    judgements: Iterable[Judgement],
    combination: Combination,
    config_hash: str,
) -> list[Pair]:
    """Every two candidates of a ranking."""
    votes = Votes(judgements)
    utilities = dict(zip(ranking.candidate_ids, ranking.utilities, strict=True))
    ordered = sorted(candidates, key=lambda candidate: candidate.sample_index)
    ids = [candidate.id for candidate in ordered]
    return [
        _pair(ranking, preference, votes, combination, config_hash)
        for preference in preferences_of(ids, utilities, combination.tie_margin)
    ]


def _pair(
    ranking: Ranking,
    preference: Preference,
    votes: Votes[Judgement],
    combination: Combination,
    config_hash: str,
) -> Pair:
    left, right = preference.left_id, preference.right_id
    behind = [j for version in combination.weights for j in votes.behind(version, left, right)]
    agreement = None
    if preference.chosen_id and preference.rejected_id:
        agreement = _agreement(votes, combination, preference.chosen_id, preference.rejected_id)
    return Pair(
        prompt_id=ranking.prompt_id,
        ranking_id=ranking.id,
        **preference._asdict(),
        agreement=agreement,
        judgement_ids=tuple(judgement.id for judgement in behind),
        judge_versions=tuple(sorted({judgement.judge_version for judgement in behind})),
        config_hash=config_hash,
    )


def _combined(
    votes: Votes[AnyJudgement], combination: Combination, left: str, right: str
) -> float | None:
    """Weighted mean of the margins of the judges that have one."""
    total = weights = 0.0
    for version, weight in combination.weights.items():
        margin = votes.margin(version, left, right)
        if margin is not None:
            total += weight * margin
            weights += weight
    return total / weights if weights else None


def _agreement(
    votes: Votes[Judgement], combination: Combination, chosen: str, rejected: str
) -> float | None:
    """Weighted share of the judges with a preference that side with the chosen one."""
    sides = [
        (weight, margin > 0)
        for version, weight in combination.weights.items()
        if (margin := votes.margin(version, chosen, rejected))
    ]
    total = sum(weight for weight, _ in sides)
    return sum(weight for weight, agrees in sides if agrees) / total if sides else None


def _probability(judgement: AnyJudgement) -> float:
    return judgement.probability if judgement.probability is not None else 0.5
