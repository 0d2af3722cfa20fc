"""Figures of a judge on scored texts, and of several judges compared."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from scipy import stats

from rlhf_core.evaluation import figures
from rlhf_core.evaluation.agreement import interval, krippendorff_alpha
from rlhf_core.evaluation.verdicts import Figure, TextVerdict
from rlhf_core.files.labelled import LabelledText
from rlhf_core.records import Outcome

Verdicts = Mapping[str, Sequence[TextVerdict]]
"""Verdicts by judge, one a text, in the order of the texts."""


def judge_figures(
    texts: Sequence[LabelledText], verdicts: Sequence[TextVerdict], compares: bool
) -> list[Figure]:
    """Return the figures of one judge.

    Args:
        texts: The labelled texts.
        verdicts: One verdict a text.
        compares: Always False: a judge that compares cannot judge single texts.

    Returns:
        Figures of outcomes, correlation, length, scores and constancy; of calibration for labels
        of 0 and 1.
    """
    kept = _scored(texts, verdicts)
    scores = [score for _, score in kept]
    labels = [text.target for text, _ in kept]
    lengths = [float(len(text.answer)) for text, _ in kept]
    result = [
        *figures.of_outcomes([verdict.outcome for verdict in verdicts]),
        *correlations(scores, labels),
        *_spearman("longer_spearman", lengths, labels),
        *_spearman("length_correlation", scores, lengths),
        *figures.of_scores(scores),
        *figures.of_constancy(scores),
    ]
    if is_binary(texts):
        prompts = [text.prompt.id for text, _ in kept]
        result += figures.of_calibration(scores, labels, prompts, has_bias=True)
    return result


def baseline_verdicts(texts: Sequence[LabelledText]) -> list[TextVerdict]:
    """Return the verdicts of the length baseline: characters as a share of the longest text."""
    longest = max((len(text.answer) for text in texts), default=0) or 1
    return [TextVerdict(Outcome.SCORED, len(text.answer) / longest) for text in texts]


def baseline_figures(texts: Sequence[LabelledText]) -> list[Figure]:
    """Return the figures of the length baseline."""
    verdicts = baseline_verdicts(texts)
    scores = [score for _, score in _scored(texts, verdicts)]
    outcomes = figures.of_outcomes([verdict.outcome for verdict in verdicts])
    return [*outcomes, *correlations(scores, [text.target for text in texts])]


def common_figures(texts: Sequence[LabelledText], verdicts: Verdicts) -> dict[str, list[Figure]]:
    """Return Spearman's correlation of each judge on the texts that all of them scored.

    AUC is added for labels of 0 and 1.
    """
    kept = [
        number
        for number in range(len(texts))
        if all(of_judge[number].score is not None for of_judge in verdicts.values())
    ]
    labels = [texts[number].target for number in kept]
    result = {}
    for judge, of_judge in verdicts.items():
        scores = [s for number in kept if (s := of_judge[number].score) is not None]
        result[judge] = [
            *_spearman("spearman_common", scores, labels),
            *_auc("auc_common", scores, labels),
        ]
    return result


def agreement_figures(verdicts: Verdicts) -> dict[tuple[str, str], Figure]:
    """Return Spearman's correlation of every two judges by their names, unless one is constant."""
    result = {}
    for one, other in combinations(verdicts, 2):
        both = [
            (ours.score, theirs.score)
            for ours, theirs in zip(verdicts[one], verdicts[other], strict=True)
            if ours.score is not None and theirs.score is not None
        ]
        for figure in _spearman("rank_agreement", [o for o, _ in both], [t for _, t in both]):
            result[one, other] = Figure(figure.metric, figure.value, figure.n, facet=other)
    return result


def alpha_figure(verdicts: Verdicts) -> list[Figure]:
    """Return Krippendorff's alpha of the judges' ranks of the texts that all of them scored.

    Ranks are used because judges' scores are not on a common scale.
    """
    rows = [
        [verdict.score for verdict in of_text] for of_text in zip(*verdicts.values(), strict=True)
    ]
    kept = [[score for score in row if score is not None] for row in rows if None not in row]
    if not kept:
        return []
    ranks = [stats.rankdata(column).tolist() for column in zip(*kept, strict=True)]
    alpha = krippendorff_alpha(list(zip(*ranks, strict=True)), interval)
    return [] if alpha is None else [Figure("alpha", alpha, len(kept))]


def is_binary(texts: Sequence[LabelledText]) -> bool:
    return {text.target for text in texts} <= {0.0, 1.0}


def correlations(scores: Sequence[float], labels: Sequence[float]) -> list[Figure]:
    """Return the correlations by Spearman, Pearson and Kendall (tau-b); none of constants.

    AUC is added for labels of 0 and 1.
    """
    if not _vary(scores, labels):
        return []
    n = len(scores)
    return [
        *_spearman("spearman", scores, labels),
        Figure("pearson", float(stats.pearsonr(scores, labels).statistic), n),
        Figure("kendall", float(stats.kendalltau(scores, labels).statistic), n),
        *_auc("auc", scores, labels),
    ]


def _auc(metric: str, scores: Sequence[float], labels: Sequence[float]) -> list[Figure]:
    from sklearn.metrics import roc_auc_score

    if set(labels) != {0.0, 1.0}:
        return []
    return [Figure(metric, float(roc_auc_score(labels, scores)), len(scores))]


def _spearman(metric: str, ones: Sequence[float], others: Sequence[float]) -> list[Figure]:
    if not _vary(ones, others):
        return []
    return [Figure(metric, float(stats.spearmanr(ones, others).statistic), len(ones))]


def _vary(ones: Sequence[float], others: Sequence[float]) -> bool:
    return min(len(set(ones)), len(set(others))) > 1


def _scored(
    texts: Sequence[LabelledText], verdicts: Sequence[TextVerdict]
) -> list[tuple[LabelledText, float]]:
    return [
        (text, verdict.score)
        for text, verdict in zip(texts, verdicts, strict=True)
        if verdict.score is not None
    ]
