"""From judgements to the ranking of a prompt's candidates, and from that to its pairs.

The one place where orders and judges are combined. Only opinions count: an unparsed or unavailable
verdict is no vote, and a pairwise judge counts for a pair only when both orders were readable.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

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


class Votes:
    """The readable judgements of a set of candidates, by judge version."""

    def __init__(self, judgements: Iterable[Judgement]) -> None:
        self._opinions: dict[tuple[str, str, str | None], Judgement] = {
            (judgement.judge_version, judgement.candidate_id, judgement.opponent_id): judgement
            for judgement in judgements
            if judgement.outcome in OPINIONS
        }

    def margin(self, version: str, left: str, right: str) -> float | None:
        """By how much a judge prefers left to right, −1 to 1; None where it has no opinion."""
        opinions = self.behind(version, left, right)
        if len(opinions) < 2:
            return None
        if opinions[0].opponent_id is None:
            return _score(opinions[0]) - _score(opinions[1])
        # Shown in both orders, so that a preference for a place cancels out.
        return _probability(opinions[0]) - _probability(opinions[1])

    def behind(self, version: str, left: str, right: str) -> list[Judgement]:
        """The judgements that a margin is made of: two scores, or a contest in both orders."""
        scores = [self._opinions.get((version, one, None)) for one in (left, right)]
        orders = [
            self._opinions.get((version, one, other))
            for one, other in ((left, right), (right, left))
        ]
        chosen = scores if scores[0] is not None else orders
        return [judgement for judgement in chosen if judgement is not None]


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
    """The candidates of one prompt from best to worst; None where no two can be compared.

    A candidate's utility is its mean margin over the others, which for scores is the score itself
    but for a constant; contradictory pairwise verdicts average out (Borda's rule).
    """
    votes = Votes(judgements)
    ids = [candidate.id for candidate in candidates]
    utilities: dict[str, float] = {}
    used: set[str] = set()
    for one in ids:
        margins = []
        for other in ids:
            combined = _combined(votes, combination, one, other) if other != one else None
            if combined is not None:
                margins.append(combined)
                used |= {j.id for v in combination.weights for j in votes.behind(v, one, other)}
        if margins:
            utilities[one] = math.fsum(margins) / (len(margins) + 1)
    if len(utilities) < 2:
        return None
    ordered = sorted(utilities, key=lambda candidate_id: -utilities[candidate_id])
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
    """Every two candidates of a ranking: preferred by their utilities, tied, or unscored."""
    votes = Votes(judgements)
    utilities = dict(zip(ranking.candidate_ids, ranking.utilities, strict=True))
    ordered = sorted(candidates, key=lambda candidate: candidate.sample_index)
    ids = [candidate.id for candidate in ordered]
    return [
        _pair(ranking, left, right, utilities, votes, combination, config_hash)
        for place, left in enumerate(ids)
        for right in ids[place + 1 :]
    ]


def _pair(
    ranking: Ranking,
    left: str,
    right: str,
    utilities: Mapping[str, float],
    votes: Votes,
    combination: Combination,
    config_hash: str,
) -> Pair:
    behind = [j for version in combination.weights for j in votes.behind(version, left, right)]
    fields = {
        "prompt_id": ranking.prompt_id,
        "ranking_id": ranking.id,
        "left_id": left,
        "right_id": right,
        "judgement_ids": tuple(judgement.id for judgement in behind),
        "judge_versions": tuple(sorted({judgement.judge_version for judgement in behind})),
        "config_hash": config_hash,
    }
    if left not in utilities or right not in utilities:
        return Pair(outcome=PairOutcome.UNSCORED, **fields)
    margin = utilities[left] - utilities[right]
    if abs(margin) <= combination.tie_margin:
        return Pair(outcome=PairOutcome.TIE, margin=abs(margin), **fields)
    chosen, rejected = (left, right) if margin > 0 else (right, left)
    return Pair(
        outcome=PairOutcome.PREFERRED,
        chosen_id=chosen,
        rejected_id=rejected,
        margin=abs(margin),
        agreement=_agreement(votes, combination, chosen, rejected),
        **fields,
    )


def _combined(votes: Votes, combination: Combination, left: str, right: str) -> float | None:
    """Weighted mean of the margins of the judges that have one."""
    total = weights = 0.0
    for version, weight in combination.weights.items():
        margin = votes.margin(version, left, right)
        if margin is not None:
            total += weight * margin
            weights += weight
    return total / weights if weights else None


def _agreement(votes: Votes, combination: Combination, chosen: str, rejected: str) -> float | None:
    """Weighted share of the judges with a preference that side with the chosen one."""
    sides = [
        (weight, margin > 0)
        for version, weight in combination.weights.items()
        if (margin := votes.margin(version, chosen, rejected))
    ]
    total = sum(weight for weight, _ in sides)
    return sum(weight for weight, agrees in sides if agrees) / total if sides else None


def _score(judgement: Judgement) -> float:
    return judgement.score if judgement.score is not None else 0.0


def _probability(judgement: Judgement) -> float:
    return judgement.probability if judgement.probability is not None else 0.5
