"""From judgements to the ranking of a prompt's candidates, and from that to its pairs.

The one place where orders and judges are combined. Only opinions count: an unparsed or unavailable
verdict is no vote, and a pairwise judge counts for a pair only when both orders were readable.

Every judge speaks in probabilities: one that compares gives them, and the scores of one that scores
become σ of their difference over the judge's scale. A pair's label is the weighted mean of what the
judges say of these two answers, whatever the other candidates are. A pair that no judge compared
has no label: what the other pairs imply of it, a reward model or DPO infers from them by the same
likelihood. The order of the candidates is that of Bradley–Terry strengths, fitted to all pairs that
were compared; a pair's `model_margin` shows where intransitive votes make it differ from the label.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Generic, Literal, NamedTuple, TypeVar

from rlhf_core.config.judge import DEFAULT_SCALE
from rlhf_core.identity import content_id
from rlhf_core.preferences.bradley_terry import (
    Answers,
    Comparison,
    Comparisons,
    Strength,
    strengths_of,
)
from rlhf_core.records import Candidate, Judgement, Outcome, Pair, PairOutcome, Ranking

OPINIONS = frozenset({Outcome.SCORED, Outcome.FIRST, Outcome.SECOND, Outcome.TIE})
SILENCE = frozenset({Outcome.UNPARSED, Outcome.UNAVAILABLE})
"""No verdict, though one was asked for; to abstain is to have none."""
MODEL = "bradley-terry 1"
"""Part of every recipe: changed by hand with everything that changes rankings or labels."""

Missing = Literal["unscored", "reweigh"]


@dataclass(frozen=True)
class Combination:
    """How judges are combined."""

    weights: Mapping[str, float]
    """Of each judge version that decides; above 0."""
    tie_margin: float
    """Two candidates are tied where 2 P − 1 is no further from 0 than this."""
    scales: Mapping[str, float] = field(default_factory=dict)
    """Of judge versions that score; DEFAULT_SCALE of those that are left out."""
    missing: Missing = "unscored"
    """What becomes of a pair on which a judge was asked and has no readable verdict."""

    @classmethod
    def of(
        cls,
        judges: Iterable[tuple[str, float, float]],
        tie_margin: float,
        missing: Missing = "unscored",
    ) -> "Combination":
        """Of judge versions, their weights and scales: only those with a weight decide."""
        deciding = [judge for judge in judges if judge[1] > 0]
        return cls(
            {version: weight for version, weight, _ in deciding},
            tie_margin,
            {version: scale for version, _, scale in deciding},
            missing,
        )

    @property
    def recipe(self) -> str:
        """Id under which rankings made this way are kept."""
        scales = {version: self.scales.get(version, DEFAULT_SCALE) for version in self.weights}
        return content_id(
            "combination", MODEL, dict(self.weights), scales, self.tie_margin, self.missing
        )


def margin_of_scores(score: float, other: float, scale: float) -> float:
    """2 P − 1, where P = σ((score − other) / scale) is the chance that the first is better."""
    return math.tanh((score - other) / (2 * scale))


class Said(NamedTuple):
    """What counts of a judgement, for those who only count: a tenth of a record's work."""

    prompt_id: str
    judge_version: str
    candidate_id: str
    opponent_id: str | None
    outcome: str
    score: float | None
    probability: float | None


_Asked = tuple[str, str, str | None]
"""Judge version, candidate and opponent."""
AnyJudgement = TypeVar("AnyJudgement", Judgement, Said)


class Votes(Generic[AnyJudgement]):
    """The readable judgements of a set of candidates, by judge version.

    Args:
        judgements: Of these candidates, by any judges.
        scales: Of judge versions that score; DEFAULT_SCALE of those that are left out.
    """

    def __init__(
        self, judgements: Iterable[AnyJudgement], scales: Mapping[str, float] | None = None
    ) -> None:
        self._scales = scales or {}
        self._opinions: dict[_Asked, AnyJudgement] = {}
        silent: set[_Asked] = set()
        for judgement in judgements:
            asked = judgement.judge_version, judgement.candidate_id, judgement.opponent_id
            if judgement.outcome in OPINIONS:
                self._opinions[asked] = judgement
            elif judgement.outcome in SILENCE:
                silent.add(asked)
        self._silent = silent - self._opinions.keys()  # a later attempt may have been answered
        self._margins: dict[tuple[str, str, str], float | None] = {}

    def margin(self, version: str, left: str, right: str) -> float | None:
        """By how much a judge prefers left to right: 2 P − 1, on one scale for all judges.

        −1 to 1, where P is the probability that left is better; None where it has no opinion.
        """
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
            scale = self._scales.get(version, DEFAULT_SCALE)
            return margin_of_scores(one.score or 0.0, other.score or 0.0, scale)
        # Shown in both orders, so that a preference for a place cancels out.
        return _probability(one) - _probability(other)

    def is_silent(self, version: str, left: str, right: str) -> bool:
        """Whether a judge was asked about two candidates and left a question without a verdict."""
        asked: list[_Asked] = [
            (version, left, None),
            (version, right, None),
            (version, left, right),
            (version, right, left),
        ]
        return bool(self._silent) and any(one in self._silent for one in asked)

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


def comparisons_of(
    answers: Answers, votes: Votes[AnyJudgement], combination: Combination
) -> Comparisons:
    """Return what is known of every two candidates that can be compared.

    Equal answers are equally good, whatever a judge's noise says of them, also where it read only
    one of them.

    Args:
        answers: Of the candidates that are ranked together.
        votes: On them.
        combination: How the judges are combined.
    """
    found: Comparisons = {}
    for two in combinations(answers, 2):
        comparison = _combined(votes, combination, *two)
        if comparison is not None:
            found[two] = comparison
    if len(set(answers.values())) < len(answers):
        compared = {answers[id] for two in found for id in two}
        for left, right in combinations(answers, 2):
            if answers[left] == answers[right] and answers[left] in compared:
                found[left, right] = Comparison(0.0, 1.0)
    return found


class Preference(NamedTuple):
    """What two candidates come to. Chosen and rejected are None for ties and the unscored."""

    left_id: str
    right_id: str
    outcome: PairOutcome
    chosen_id: str | None = None
    rejected_id: str | None = None
    margin: float | None = None


def preferences_of(
    ids: Iterable[str], comparisons: Comparisons, tie_margin: float
) -> list[Preference]:
    """Every two candidates as they were compared: preferred, tied, or unscored."""
    found = []
    for left, right in combinations(ids, 2):
        comparison = comparisons.get((left, right))
        if comparison is None:
            found.append(Preference(left, right, PairOutcome.UNSCORED))
            continue
        margin = comparison.margin
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
    compared = [
        _Compared(group, by_prompt[group[0].prompt_id], combination) for group in groups if group
    ]
    strengths = strengths_of([(group.answers, group.comparisons) for group in compared])
    rankings: list[Ranking] = []
    pairs: list[Pair] = []
    for group, own in zip(compared, strengths, strict=True):
        if own:
            ranking = group.ranking(own)
            rankings.append(ranking)
            pairs += group.pairs(ranking, config_hash)
    return rankings, pairs


def count_lacking(
    groups: Iterable[Sequence[Candidate]],
    judgements: Iterable[Judgement],
    combination: Combination,
) -> int:
    """How many pairs lack the readable verdict of a judge that others' verdicts stand beside.

    Args:
        groups: Candidates that are ranked together, each group of one prompt.
        judgements: Of these candidates, by any judges.
        combination: Whose judges are meant.
    """
    votes = Votes(judgements)
    return sum(
        _lacks_a_verdict(votes, combination, *two)
        and any(votes.margin(version, *two) is not None for version in combination.weights)
        for group in groups
        for two in combinations([candidate.id for candidate in group], 2)
    )


def rank(
    candidates: Sequence[Candidate], judgements: Iterable[Judgement], combination: Combination
) -> Ranking | None:
    """The candidates of one prompt from best to worst; None where no two can be compared."""
    compared = _Compared(candidates, judgements, combination)
    (strengths,) = strengths_of([(compared.answers, compared.comparisons)])
    return compared.ranking(strengths) if strengths else None


def pairs_of(
    ranking: Ranking,
    candidates: Sequence[Candidate],
    judgements: Iterable[Judgement],
    combination: Combination,
    config_hash: str,
) -> list[Pair]:
    """Every two candidates of a ranking."""
    return _Compared(candidates, judgements, combination).pairs(ranking, config_hash)


class _Compared:
    """Candidates that are ranked together, in sample order, and what the judges say of them."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        judgements: Iterable[Judgement],
        combination: Combination,
    ) -> None:
        ordered = sorted(candidates, key=lambda candidate: (candidate.sample_index, candidate.id))
        self.first = ordered[0]
        self.answers = {answer.id: (answer.text, answer.is_finished) for answer in ordered}
        self.combination = combination
        self.votes = Votes(judgements, combination.scales)
        self.comparisons = comparisons_of(self.answers, self.votes, combination)

    def ranking(self, strengths: Mapping[str, Strength]) -> Ranking:
        ids = sorted(strengths, key=lambda id: -strengths[id].value)
        parts = tuple(strengths[id].part for id in ids)
        # Either side first: a judge may have read only one of the two, and was looked at.
        sides = [two for left, right in self.comparisons for two in ((left, right), (right, left))]
        used = {
            judgement.id
            for version in self.combination.weights
            for two in sides
            for judgement in self.votes.behind(version, *two)
        }
        return Ranking(
            prompt_id=self.first.prompt_id,
            model_id=self.first.model_id,
            seed=self.first.seed,
            recipe=self.combination.recipe,
            candidate_ids=tuple(ids),
            utilities=tuple(math.tanh(strengths[id].value / 2) for id in ids),
            parts=parts if len(set(parts)) > 1 else None,
            judgement_ids=tuple(sorted(used)),
        )

    def pairs(self, ranking: Ranking, config_hash: str) -> list[Pair]:
        preferences = preferences_of(self.answers, self.comparisons, self.combination.tie_margin)
        return [self._pair(ranking, preference, config_hash) for preference in preferences]

    def _pair(self, ranking: Ranking, preference: Preference, config_hash: str) -> Pair:
        left, right = preference.left_id, preference.right_id
        weights = self.combination.weights
        behind = [j for version in weights for j in self.votes.behind(version, left, right)]
        agreement = None
        if preference.chosen_id and preference.rejected_id:
            agreement = _agreement(
                self.votes, self.combination, preference.chosen_id, preference.rejected_id
            )
        return Pair(
            prompt_id=ranking.prompt_id,
            ranking_id=ranking.id,
            **preference._asdict(),
            model_margin=ranking.margin(left, right),
            agreement=agreement,
            judgement_ids=tuple(judgement.id for judgement in behind),
            judge_versions=tuple(sorted({judgement.judge_version for judgement in behind})),
            config_hash=config_hash,
        )


def _combined(
    votes: Votes[AnyJudgement], combination: Combination, left: str, right: str
) -> Comparison | None:
    """Weighted mean of the margins of the judges that have one.

    None where a judge owes its verdict: the others do not take its weight over, unless it is wanted
    that they do.
    """
    if combination.missing == "unscored" and _lacks_a_verdict(votes, combination, left, right):
        return None
    total = weights = everyone = 0.0
    for version, weight in combination.weights.items():
        everyone += weight
        margin = votes.margin(version, left, right)
        if margin is not None:
            total += weight * margin
            weights += weight
    return Comparison(total / weights, weights / everyone) if weights else None


def _lacks_a_verdict(
    votes: Votes[AnyJudgement], combination: Combination, left: str, right: str
) -> bool:
    return any(votes.is_silent(version, left, right) for version in combination.weights)


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
