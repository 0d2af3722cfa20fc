"""Figures of a judge on labelled pairs, and of several judges compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from rlhf_core.evaluation import figures, judge_bias
from rlhf_core.evaluation.agreement import cohen_kappa, krippendorff_alpha, nominal
from rlhf_core.evaluation.judge_bias import sign
from rlhf_core.evaluation.shares import share
from rlhf_core.evaluation.verdicts import Figure, PairVerdict, pair_verdict
from rlhf_core.files.labelled import LabelledPair

Verdicts = Mapping[str, Sequence[PairVerdict]]
"""Verdicts by judge, one a pair, in the order of the pairs."""


@dataclass(frozen=True)
class _Seen:
    """A pair that a judge scored and whose label prefers one answer."""

    pair: LabelledPair
    margin: float

    @property
    def is_right(self) -> float:
        """1 if judge and label prefer the same answer; 0.5 if the judge has a tie."""
        if self.margin == 0:
            return 0.5
        return float(sign(self.margin) == sign(self.pair.target - 0.5))


def judge_figures(
    pairs: Sequence[LabelledPair], verdicts: Sequence[PairVerdict], compares: bool
) -> list[Figure]:
    """Return the figures of one judge.

    Args:
        pairs: The labelled pairs.
        verdicts: One verdict a pair.
        compares: True if the judge saw two answers at once, in both orders.

    Returns:
        Figures of outcomes, accuracy, length, position or scores, constancy and calibration.
    """
    seen = _seen(pairs, verdicts)
    scores = [score for verdict in verdicts for score in verdict.scores]
    scored = [(pair, v) for pair, v in zip(pairs, verdicts, strict=True) if v.margin is not None]
    return [
        *figures.of_outcomes([verdict.outcome for verdict in verdicts]),
        *_accuracies(seen),
        *_length(seen),
        *(_position(scored) if compares else figures.of_scores(scores)),
        *figures.of_constancy([sign(v - 0.5) for v in scores] if compares else scores),
        *figures.of_calibration(
            [v.probability for _, v in scored if v.probability is not None],
            [pair.target for pair, _ in scored],
            [pair.prompt.id for pair, _ in scored],
            has_bias=False,
        ),
    ]


def baseline_verdicts(pairs: Sequence[LabelledPair]) -> list[PairVerdict]:
    """Return the verdicts of the length baseline: the answer with more characters is better."""
    lengths = [(len(pair.first), len(pair.second)) for pair in pairs]
    return [pair_verdict(float(one >= other), float(other >= one), None) for one, other in lengths]


def baseline_figures(pairs: Sequence[LabelledPair]) -> list[Figure]:
    """Return the figures of the length baseline, which has no probabilities."""
    verdicts = baseline_verdicts(pairs)
    outcomes = figures.of_outcomes([verdict.outcome for verdict in verdicts])
    return [*outcomes, *_accuracies(_seen(pairs, verdicts))]


def common_figures(pairs: Sequence[LabelledPair], verdicts: Verdicts) -> dict[str, list[Figure]]:
    """Return the accuracy of each judge on the pairs that all of them scored."""
    kept = [
        number
        for number in range(len(pairs))
        if all(of_judge[number].margin is not None for of_judge in verdicts.values())
    ]
    chosen = [pairs[number] for number in kept]
    seen_by = {
        judge: _seen(chosen, [of_judge[number] for number in kept])
        for judge, of_judge in verdicts.items()
    }
    return {judge: _accuracy("accuracy_common", seen) for judge, seen in seen_by.items()}


def agreement_figures(verdicts: Verdicts) -> dict[tuple[str, str], Figure]:
    """Return Cohen's kappa of every two judges, by their names, where it is defined."""
    result = {}
    for one, other in combinations(verdicts, 2):
        both = [
            (sign(ours.margin), sign(theirs.margin))
            for ours, theirs in zip(verdicts[one], verdicts[other], strict=True)
            if ours.margin is not None and theirs.margin is not None
        ]
        kappa = cohen_kappa([ours for ours, _ in both], [theirs for _, theirs in both])
        if kappa is not None:
            result[one, other] = Figure("kappa", kappa, len(both), facet=other)
    return result


def alpha_figure(verdicts: Verdicts) -> list[Figure]:
    """Return Krippendorff's alpha over all judges; the values are first, second and tie."""
    units = [
        [None if verdict.margin is None else sign(verdict.margin) for verdict in of_pair]
        for of_pair in zip(*verdicts.values(), strict=True)
    ]
    alpha = krippendorff_alpha(units, nominal)
    return [] if alpha is None else [Figure("alpha", alpha, len(units))]


def flips(
    pairs: Sequence[LabelledPair], before: Sequence[PairVerdict], after: Sequence[PairVerdict]
) -> tuple[list[float], list[str]]:
    """Return 1 for each right verdict that an attack on the worse answer reverses, else 0.

    Args:
        pairs: The labelled pairs.
        before: Verdicts on the pairs.
        after: Verdicts on the pairs with the worse answer attacked.

    Returns:
        The flips, and the prompt of each.
    """
    result = []
    for pair, ours, theirs in zip(pairs, before, after, strict=True):
        better = sign(pair.target - 0.5)
        if ours.margin is None or theirs.margin is None or sign(ours.margin) != better:
            continue
        result.append((float(sign(theirs.margin) == -better), pair.prompt.id))
    return [flip for flip, _ in result], [prompt for _, prompt in result]


def _seen(pairs: Sequence[LabelledPair], verdicts: Sequence[PairVerdict]) -> list[_Seen]:
    return [
        _Seen(pair, verdict.margin)
        for pair, verdict in zip(pairs, verdicts, strict=True)
        if verdict.margin is not None and pair.target != 0.5
    ]


def _accuracy(metric: str, seen: Sequence[_Seen], facet: str = "") -> list[Figure]:
    accuracy = share([one.is_right for one in seen], [one.pair.prompt.id for one in seen])
    return figures.of_share(metric, accuracy, facet)


def _accuracies(seen: Sequence[_Seen]) -> list[Figure]:
    subsets = sorted({one.pair.subset for one in seen})
    result = _accuracy("accuracy", seen)
    result += _accuracy("accuracy_decided", [one for one in seen if one.margin != 0])
    for subset in subsets if len(subsets) > 1 else ():
        result += _accuracy("accuracy", [s for s in seen if s.pair.subset == subset], subset)
    return result


def _length(seen: Sequence[_Seen]) -> list[Figure]:
    """Return the length baseline on the same pairs, and the preference for longer answers."""
    baseline = baseline_verdicts([one.pair for one in seen])
    by_length = _seen([one.pair for one in seen], baseline)
    result = _accuracy("longer_accuracy", by_length)
    decided = [
        one for one in seen if one.margin != 0 and len(one.pair.first) != len(one.pair.second)
    ]
    if not decided:
        return result
    lengths = [(len(one.pair.first), len(one.pair.second)) for one in decided]
    prompts = [one.pair.prompt.id for one in decided]
    ours = judge_bias.prefers_longer([one.margin for one in decided], lengths)
    labels = judge_bias.prefers_longer([one.pair.target - 0.5 for one in decided], lengths)
    bias = sum(ours) / len(ours) - sum(labels) / len(labels)
    return [
        *result,
        *figures.of_share("longer_preferred", share(ours, prompts)),
        *figures.of_share("longer_labelled", share(labels, prompts)),
        Figure("length_bias", bias, len(decided)),
    ]


def _position(scored: Sequence[tuple[LabelledPair, PairVerdict]]) -> list[Figure]:
    orders = [(one, other) for _, verdict in scored for one, other in [verdict.scores]]
    prompts = [pair.prompt.id for pair, _ in scored]
    shown = [pair.prompt.id for pair, verdict in scored for score in verdict.scores if score != 0.5]
    chosen = judge_bias.chooses_first_slot(orders)
    return [
        *figures.of_share("first_slot", share(chosen, shown)),
        *figures.of_share("same_slot", share(judge_bias.repeats_slot(orders), prompts)),
        *figures.of_share("consistency", share(judge_bias.repeats_answer(orders), prompts)),
    ]
