"""The figures of a judge on scored texts, and of several judges beside each other."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from scipy import stats

from rlhf_core.evaluation import figures
from rlhf_core.evaluation.agreement import interval, krippendorff_alpha
from rlhf_core.evaluation.verdicts import Figure, TextVerdict
from rlhf_core.files.labelled import LabelledText
from rlhf_core.records import Outcome

Verdicts = Mapping[str, Sequence[TextVerdict]]
"""By judge, one a text, in the order of the texts."""


def judge_figures(
    texts: Sequence[LabelledText], verdicts: Sequence[TextVerdict], compares: bool
) -> list[Figure]:
    """All that is said of one judge alone.

    Args:
        texts: What was judged.
        verdicts: One a text.
        compares: False: a judge that compares has nothing to say of single texts.
    """
    kept = _scored(texts, verdicts)
    scores = [score for _, score in kept]
    labels = [text.target for text, _ in kept]
    lengths = [float(len(text.answer)) for text, _ in kept]
    found = [
        *figures.of_outcomes([verdict.outcome for verdict in verdicts]),
        *correlations(scores, labels),
        *_spearman("longer_spearman", lengths, labels),
        *_spearman("length_correlation", scores, lengths),
        *figures.of_scores(scores),
        *figures.of_constancy(scores),
    ]
    if is_binary(texts):
        prompts = [text.prompt.id for text, _ in kept]
        found += figures.of_calibration(scores, labels, prompts, has_bias=True)
    return found


def baseline_verdicts(texts: Sequence[LabelledText]) -> list[TextVerdict]:
    """The length baseline: characters, as a share of the longest text."""
    longest = max((len(text.answer) for text in texts), default=0) or 1
    return [TextVerdict(Outcome.SCORED, len(text.answer) / longest) for text in texts]


def baseline_figures(texts: Sequence[LabelledText]) -> list[Figure]:
    """Of the length baseline."""
    verdicts = baseline_verdicts(texts)
    scores = [score for _, score in _scored(texts, verdicts)]
    outcomes = figures.of_outcomes([verdict.outcome for verdict in verdicts])
    return [*outcomes, *correlations(scores, [text.target for text in texts])]


def common_figures(texts: Sequence[LabelledText], verdicts: Verdicts) -> dict[str, list[Figure]]:
    """Spearman and, for labels of 0 and 1, AUC of each judge on the texts that all scored."""
    kept = [
        number
        for number in range(len(texts))
        if all(of_judge[number].score is not None for of_judge in verdicts.values())
    ]
    labels = [texts[number].target for number in kept]
    found = {}
    for judge, of_judge in verdicts.items():
        scores = [s for number in kept if (s := of_judge[number].score) is not None]
        found[judge] = [
            *_spearman("spearman_common", scores, labels),
            *_auc("auc_common", scores, labels),
        ]
    return found


def agreement_figures(verdicts: Verdicts) -> dict[tuple[str, str], Figure]:
    """Spearman's correlation of every two judges, by their names; none where one is constant."""
    found = {}
    for one, other in combinations(verdicts, 2):
        both = [
            (ours.score, theirs.score)
            for ours, theirs in zip(verdicts[one], verdicts[other], strict=True)
            if ours.score is not None and theirs.score is not None
        ]
        for figure in _spearman("rank_agreement", [o for o, _ in both], [t for _, t in both]):
            found[one, other] = Figure(figure.metric, figure.value, figure.n, facet=other)
    return found


def alpha_figure(verdicts: Verdicts) -> list[Figure]:
    """Krippendorff's alpha of the ranks that the judges give to the texts they all scored.

    Of ranks, because one judge's 0.6 is not another's.
    """
    rows = [
        [verdict.score for verdict in of_text] for of_text in zip(*verdicts.values(), strict=True)
    ]
    kept = [[score for score in row if score is not None] for row in rows if None not in row]
    if not kept:
        return []
    ranks = [stats.rankdata(column).tolist() for column in zip(*kept, strict=True)]
    found = krippendorff_alpha(list(zip(*ranks, strict=True)), interval)
    return [] if found is None else [Figure("alpha", found, len(kept))]


def is_binary(texts: Sequence[LabelledText]) -> bool:
    return {text.target for text in texts} <= {0.0, 1.0}


def correlations(scores: Sequence[float], labels: Sequence[float]) -> list[Figure]:
    """Spearman, Pearson, Kendall's tau-b, and AUC where labels are 0 and 1; none of constants."""
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
