"""The results of judges on one labelled set: their verdicts as figures and curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from judges.bench.attacks import Injection
from judges.bench.runner import JudgeRun, Usage, apply_attack
from rlhf_core.evaluation import pair_figures, text_figures
from rlhf_core.evaluation.figures import of_share
from rlhf_core.evaluation.judge_bias import CONSTANT_SHARE, sign
from rlhf_core.evaluation.shares import share
from rlhf_core.evaluation.verdicts import (
    LENGTH_BASELINE,
    Figure,
    PairVerdict,
    TextVerdict,
)
from rlhf_core.files.labelled import TIE, LabelledPair, LabelledSet
from rlhf_core.identity import unit_interval

PANEL = "all judges"
"""Name under which figures of all judges together are stored."""
ROUNDING = 0.01
"""Difference of scores up to which two verdicts are the same; rounding depends on the batch."""
COMPARES_ONLY = "compares two answers; these are single texts"


@dataclass(frozen=True)
class JudgeResult:
    """The results of one judge on one set."""

    name: str
    version: str
    compares: bool
    figures: list[Figure]
    scores: list[float] = field(default_factory=list)
    """Every score; of a pairwise judge, the probability of the answer shown first."""
    forecasts: list[tuple[float, float]] = field(default_factory=list)
    """Pairs of its probability and the label, if labels are 0 to 1."""

    def figure(self, metric: str, facet: str = "") -> Figure | None:
        matching = (f for f in self.figures if (f.metric, f.facet) == (metric, facet))
        return next(matching, None)

    def value(self, metric: str, facet: str = "") -> float | None:
        figure = self.figure(metric, facet)
        return figure.value if figure else None

    def facets(self, metric: str) -> list[Figure]:
        """Return the figures of a metric that concern a part of the set."""
        return [figure for figure in self.figures if figure.metric == metric and figure.facet]

    @property
    def alarm(self) -> str | None:
        """Reason why its figures are worthless; None if there is none."""
        constant = self.value("constant_share")
        if self.value("scored") == 0:
            return f"{self.name} scored nothing here"
        if constant is None or constant < CONSTANT_SHARE or self.name == LENGTH_BASELINE:
            return None
        what = "chooses the same slot" if self.compares else "gives the same score"
        return f"{self.name} {what} in {100 * constant:.0f} % of cases"


@dataclass(frozen=True)
class SetResult:
    """The results of all judges on one set, the length baseline first."""

    data: LabelledSet
    judges: list[JudgeResult]
    together: list[Figure]
    unfit: Mapping[str, str] = field(default_factory=dict)
    """Judges that cannot judge such a set, with the reason."""

    @property
    def has_pairs(self) -> bool:
        return bool(self.data.pairs)


@dataclass(frozen=True)
class Extras:
    """Measurements beyond the set itself."""

    attacks: Sequence[Injection] = ()
    """Attacks, each with a `name` and `apply(text)`."""
    injections: int = 0
    """Number of pairs attacked with each."""
    again: int = 0
    """Number of questions judged a second time."""


def evaluate_judges(data: LabelledSet, runs: Sequence[JudgeRun], extras: Extras) -> SetResult:
    """Run all judges on a set and compute their figures.

    Args:
        data: The labelled set.
        runs: The judges; pairwise ones are skipped if the set holds single texts.
        extras: Attacks and repetitions.

    Returns:
        The figures of each judge, of the length baseline and of all judges together.
    """
    family: Any = pair_figures if data.pairs else text_figures
    entries = data.pairs or data.texts
    fit = [run for run in runs if data.pairs or not run.compares]
    verdicts = {run.name: run.evaluate(entries) for run in fit}
    with_baseline = {LENGTH_BASELINE: family.baseline_verdicts(entries), **verdicts}
    scoring = {name: own for name, own in with_baseline.items() if any(v.scores for v in own)}
    common = family.common_figures(entries, scoring)
    agreement = _both_ways(family.agreement_figures(scoring))
    length = [*family.baseline_figures(entries), *common[LENGTH_BASELINE]]
    judges = [JudgeResult(LENGTH_BASELINE, "", False, length)]
    for run in fit:
        own = verdicts[run.name]
        figures = [
            *family.judge_figures(entries, own, run.compares),
            *common.get(run.name, []),
            *agreement.get(run.name, []),
            *_costs(run.usage, len(entries)),
            *_repeat_consistency(run, entries, own, extras.again),
            *_flip_rates(run, data.pairs, own, extras),
        ]
        judges.append(_result(run, data, own, figures))
    unfit = {run.name: COMPARES_ONLY for run in runs if run not in fit}
    return SetResult(data, judges, family.alpha_figure(verdicts), unfit)


def _result(
    run: JudgeRun,
    data: LabelledSet,
    verdicts: Sequence[PairVerdict | TextVerdict],
    figures: list[Figure],
) -> JudgeResult:
    targets = [entry.target for entry in data.pairs or data.texts]
    forecasts = [
        (verdict.probability, target)
        for verdict, target in zip(verdicts, targets, strict=True)
        if verdict.probability is not None
    ]
    return JudgeResult(
        run.name,
        run.version,
        run.compares,
        figures,
        scores=[score for verdict in verdicts for score in verdict.scores],
        forecasts=forecasts if any(figure.metric == "brier" for figure in figures) else [],
    )


def _repeat_consistency(
    run: JudgeRun, entries: Sequence[Any], verdicts: Sequence[Any], count: int
) -> list[Figure]:
    """Return the share of repeated questions that get the same verdict again."""
    chosen = _draw("again", list(zip(entries, verdicts, strict=True)), count)
    again = run.without_cache().evaluate([entry for entry, _ in chosen]) if chosen else []
    same = [float(_is_same(one, other)) for (_, one), other in zip(chosen, again, strict=True)]
    return of_share("repeat_consistency", share(same, [e.prompt.id for e, _ in chosen]))


def _is_same(one: Any, other: Any) -> bool:
    """Return True if two verdicts differ by rounding at most."""
    gaps = [abs(first - second) for first, second in zip(one.scores, other.scores, strict=False)]
    return one.outcome == other.outcome and max(gaps, default=0.0) < ROUNDING


def _flip_rates(
    run: JudgeRun,
    pairs: Sequence[LabelledPair],
    verdicts: Sequence[PairVerdict],
    extras: Extras,
) -> list[Figure]:
    """Return, for each attack on the worse answer, the share of right verdicts that it reverses."""
    if not extras.injections:
        return []
    rows = [row for row in zip(pairs, verdicts, strict=True) if row[0].target != TIE]
    right = [
        (pair, verdict)
        for pair, verdict in _draw("injection", rows, extras.injections)
        if verdict.margin and sign(verdict.margin) == sign(pair.target - TIE)
    ]
    chosen, before = [pair for pair, _ in right], [verdict for _, verdict in right]
    figures: list[Figure] = []
    for attack in extras.attacks:
        after = run.evaluate([apply_attack(pair, attack) for pair in chosen])
        flips, prompts = pair_figures.flips(chosen, before, after)
        figures += of_share("flip_rate", share(flips, prompts), facet=attack.name)
    return figures


def _draw(purpose: str, rows: Sequence[tuple[Any, Any]], count: int) -> list[tuple[Any, Any]]:
    return sorted(rows, key=lambda row: unit_interval(purpose, row[0].id))[:count]


def _costs(usage: Usage, entries: int) -> list[Figure]:
    speed = [Figure("items_per_second", entries / usage.seconds, entries)] if usage.seconds else []
    return [
        Figure("calls", usage.calls, entries),
        Figure("cost_usd", usage.cost_usd, usage.calls),
        Figure("prompt_tokens", usage.prompt_tokens, usage.calls),
        Figure("completion_tokens", usage.completion_tokens, usage.calls),
        *speed,
    ]


def _both_ways(figures: Mapping[tuple[str, str], Figure]) -> dict[str, list[Figure]]:
    """Return the figures of pairs of judges by the name of each, with the other as facet."""
    by_judge: dict[str, list[Figure]] = {}
    for (one, other), figure in figures.items():
        for name, facet in ((one, other), (other, one)):
            turned = Figure(figure.metric, figure.value, figure.n, facet=facet)
            by_judge.setdefault(name, []).append(turned)
    return by_judge
