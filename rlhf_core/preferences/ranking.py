"""Rankings of a prompt's candidates, and labelled pairs, made from votes.

This is the only place where orders and judges are combined. A pair's label is the weighted mean of
the judges' probabilities for these two answers, whatever the other candidates are. A pair that no
judge compared has no label: a reward model or DPO infers what the other pairs imply about it by the
same likelihood. Candidates are ordered by Bradley–Terry strengths, fitted to all compared pairs; a
pair's `model_margin` shows where intransitive votes make this order differ from the label.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from rlhf_core.preferences.bradley_terry import (
    Answers,
    Comparison,
    Comparisons,
    Strength,
    strengths_of,
)
from rlhf_core.preferences.votes import AnyJudgement, Combination, Votes
from rlhf_core.records import Candidate, Judgement, Pair, PairOutcome, Ranking


def comparisons_of(
    answers: Answers, votes: Votes[AnyJudgement], combination: Combination
) -> Comparisons:
    """Return the combined comparison of every two candidates that can be compared.

    Equal answers are equally good, whatever a judge's noise makes of them, even if it read only one
    of them.

    Args:
        answers: Answers of the candidates that are ranked together.
        votes: Votes on these candidates.
        combination: Rules by which the judges are combined.
    """
    comparisons: Comparisons = {}
    for two in combinations(answers, 2):
        comparison = _combined(votes, combination, *two)
        if comparison is not None:
            comparisons[two] = comparison
    if len(set(answers.values())) < len(answers):
        compared = {answers[id] for two in comparisons for id in two}
        for left, right in combinations(answers, 2):
            if answers[left] == answers[right] and answers[left] in compared:
                comparisons[left, right] = Comparison(0.0, 1.0)
    return comparisons


class Preference(NamedTuple):
    """Outcome for two candidates. Chosen and rejected are None for ties and unscored pairs."""

    left_id: str
    right_id: str
    outcome: PairOutcome
    chosen_id: str | None = None
    rejected_id: str | None = None
    margin: float | None = None


def preferences_of(
    ids: Iterable[str], comparisons: Comparisons, tie_margin: float
) -> list[Preference]:
    """Return the outcome for every two candidates: preferred, tied, or unscored.

    Args:
        ids: Candidates that are ranked together.
        comparisons: Comparisons among them.
        tie_margin: Largest |2 P − 1| of a tie.
    """
    preferences = []
    for left, right in combinations(ids, 2):
        comparison = comparisons.get((left, right))
        if comparison is None:
            preferences.append(Preference(left, right, PairOutcome.UNSCORED))
            continue
        margin = comparison.margin
        if abs(margin) <= tie_margin:
            preferences.append(Preference(left, right, PairOutcome.TIE, margin=abs(margin)))
            continue
        sides = (left, right) if margin > 0 else (right, left)
        preferences.append(Preference(left, right, PairOutcome.PREFERRED, *sides, abs(margin)))
    return preferences


def rankings_and_pairs(
    groups: Iterable[Sequence[Candidate]],
    judgements: Iterable[Judgement],
    combination: Combination,
    config_hash: str,
) -> tuple[list[Ranking], list[Pair]]:
    """Return the rankings and pairs of groups of candidates.

    Args:
        groups: Candidates that are ranked together, each group of one prompt.
        judgements: Judgements of these candidates, by any judges.
        combination: Rules by which the judges are combined.
        config_hash: Hash of the config, stored with the pairs.

    Returns:
        One ranking for each group with a comparison, and the pairs of these rankings.
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
    """Count the pairs that lack one judge's readable verdict but have another's.

    Args:
        groups: Candidates that are ranked together, each group of one prompt.
        judgements: Judgements of these candidates, by any judges.
        combination: Rules whose judges are counted.

    Returns:
        The number of pairs.
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
    """Rank the candidates of one prompt from best to worst.

    Args:
        candidates: Candidates of one prompt.
        judgements: Judgements of these candidates, by any judges.
        combination: Rules by which the judges are combined.

    Returns:
        The ranking; None if no two candidates can be compared.
    """
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
    """Return the pairs of every two candidates of a ranking.

    Args:
        ranking: The ranking that the pairs belong to.
        candidates: Its candidates.
        judgements: Judgements of these candidates, by any judges.
        combination: Rules by which the judges are combined.
        config_hash: Hash of the config, stored with the pairs.
    """
    return _Compared(candidates, judgements, combination).pairs(ranking, config_hash)


class _Compared:
    """Candidates that are ranked together, in sample order, with their votes and comparisons."""

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
        # Either side may come first: a judge may have read only one of the two.
        sides = [two for left, right in self.comparisons for two in ((left, right), (right, left))]
        used = {
            judgement.id
            for version in self.combination.weights
            for two in sides
            for judgement in self.votes.judgements_of(version, *two)
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
        behind = [j for version in weights for j in self.votes.judgements_of(version, left, right)]
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
    """Return the weighted mean of the judges' margins.

    None if a judge's verdict is missing, unless `combination.missing` lets the other judges take
    over its weight.
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
    """Return the weighted share of the judges with a preference that prefer the chosen answer."""
    sides = [
        (weight, margin > 0)
        for version, weight in combination.weights.items()
        if (margin := votes.margin(version, chosen, rejected))
    ]
    total = sum(weight for weight, _ in sides)
    return sum(weight for weight, agrees in sides if agrees) / total if sides else None
