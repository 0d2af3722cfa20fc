"""What came of hearing judges on one labelled set: their verdicts as figures and curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from judges.bench.attacks import Injection
from judges.bench.runner import Spent, Witness, attacked
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
"""Under whose name figures of the judges together are kept."""
ROUNDING = 0.01
COMPARES_ONLY = "compares two answers; these are single texts"


@dataclass(frozen=True)
class JudgeResult:
    """One judge on one set."""

    name: str
    version: str
    compares: bool
    figures: list[Figure]
    scores: list[float] = field(default_factory=list)
    """Every score it gave; of a judge that compares, the probability of what was shown first."""
    forecasts: list[tuple[float, float]] = field(default_factory=list)
    """Its probability and the label, where labels are 0 to 1."""

    def figure(self, metric: str, facet: str = "") -> Figure | None:
        found = (f for f in self.figures if (f.metric, f.facet) == (metric, facet))
        return next(found, None)

    def value(self, metric: str, facet: str = "") -> float | None:
        found = self.figure(metric, facet)
        return found.value if found else None

    def facets(self, metric: str) -> list[Figure]:
        """The figures of that name that are about a part."""
        return [figure for figure in self.figures if figure.metric == metric and figure.facet]

    @property
    def alarm(self) -> str | None:
        """What makes its figures worthless."""
        constant = self.value("constant_share")
        if self.value("scored") == 0:
            return f"{self.name} scored nothing here"
        if constant is None or constant < CONSTANT_SHARE or self.name == LENGTH_BASELINE:
            return None
        what = "chooses the same slot" if self.compares else "gives the same score"
        return f"{self.name} {what} in {100 * constant:.0f} % of cases"


@dataclass(frozen=True)
class SetResult:
    """All judges on one set, the length baseline first."""

    data: LabelledSet
    judges: list[JudgeResult]
    together: list[Figure]
    unfit: Mapping[str, str] = field(default_factory=dict)
    """Judges that cannot be asked about such a set, and why."""

    @property
    def has_pairs(self) -> bool:
        return bool(self.data.pairs)


@dataclass(frozen=True)
class Extras:
    """What judges are asked beside the set itself."""

    attacks: Sequence[Injection] = ()
    """Each with a `name` and `apply(text)`."""
    injections: int = 0
    """How many pairs are attacked with each."""
    again: int = 0
    """How many questions are asked a second time."""


def hear(data: LabelledSet, witnesses: Sequence[Witness], extras: Extras) -> SetResult:
    """Ask all judges about a set, and reckon."""
    reckoning: Any = pair_figures if data.pairs else text_figures
    entries = data.pairs or data.texts
    fit = [witness for witness in witnesses if data.pairs or not witness.compares]
    verdicts = {witness.name: witness.hear(entries) for witness in fit}
    beside = {LENGTH_BASELINE: reckoning.baseline_verdicts(entries), **verdicts}
    heard = {name: found for name, found in beside.items() if any(v.scores for v in found)}
    common = reckoning.common_figures(entries, heard)
    agreement = _both_ways(reckoning.agreement_figures(heard))
    length = [*reckoning.baseline_figures(entries), *common[LENGTH_BASELINE]]
    judges = [JudgeResult(LENGTH_BASELINE, "", False, length)]
    for witness in fit:
        found = verdicts[witness.name]
        figures = [
            *reckoning.judge_figures(entries, found, witness.compares),
            *common.get(witness.name, []),
            *agreement.get(witness.name, []),
            *_costs(witness.spent, len(entries)),
            *_asked_again(witness, entries, found, extras.again),
            *_injections(witness, data.pairs, found, extras),
        ]
        judges.append(_result(witness, data, found, figures))
    unfit = {witness.name: COMPARES_ONLY for witness in witnesses if witness not in fit}
    return SetResult(data, judges, reckoning.alpha_figure(verdicts), unfit)


def _result(
    witness: Witness,
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
        witness.name,
        witness.version,
        witness.compares,
        figures,
        scores=[score for verdict in verdicts for score in verdict.scores],
        forecasts=forecasts if any(figure.metric == "brier" for figure in figures) else [],
    )


def _asked_again(
    witness: Witness, entries: Sequence[Any], verdicts: Sequence[Any], count: int
) -> list[Figure]:
    """How often the same question gets the same verdict."""
    chosen = _drawn("again", list(zip(entries, verdicts, strict=True)), count)
    found = witness.without_memory().hear([entry for entry, _ in chosen]) if chosen else []
    same = [float(_alike(ours, theirs)) for (_, ours), theirs in zip(chosen, found, strict=True)]
    return of_share("repeat_consistency", share(same, [e.prompt.id for e, _ in chosen]))


def _alike(ours: Any, theirs: Any) -> bool:
    """Whether two verdicts are the same but for rounding, which depends on the batch."""
    gaps = [abs(one - other) for one, other in zip(ours.scores, theirs.scores, strict=False)]
    return ours.outcome == theirs.outcome and max(gaps, default=0.0) < ROUNDING


def _injections(
    witness: Witness,
    pairs: Sequence[LabelledPair],
    verdicts: Sequence[PairVerdict],
    extras: Extras,
) -> list[Figure]:
    """How often each attack on the worse answer turns a right verdict round."""
    if not extras.injections:
        return []
    rows = [row for row in zip(pairs, verdicts, strict=True) if row[0].target != TIE]
    right = [
        (pair, verdict)
        for pair, verdict in _drawn("injection", rows, extras.injections)
        if verdict.margin and sign(verdict.margin) == sign(pair.target - TIE)
    ]
    chosen, before = [pair for pair, _ in right], [verdict for _, verdict in right]
    found: list[Figure] = []
    for attack in extras.attacks:
        after = witness.hear([attacked(pair, attack) for pair in chosen])
        flips, prompts = pair_figures.flips(chosen, before, after)
        found += of_share("flip_rate", share(flips, prompts), facet=attack.name)
    return found


def _drawn(purpose: str, rows: Sequence[tuple[Any, Any]], count: int) -> list[tuple[Any, Any]]:
    return sorted(rows, key=lambda row: unit_interval(purpose, row[0].id))[:count]


def _costs(spent: Spent, entries: int) -> list[Figure]:
    speed = [Figure("items_per_second", entries / spent.seconds, entries)] if spent.seconds else []
    return [
        Figure("calls", spent.calls, entries),
        Figure("cost_usd", spent.cost_usd, spent.calls),
        Figure("prompt_tokens", spent.prompt_tokens, spent.calls),
        Figure("completion_tokens", spent.completion_tokens, spent.calls),
        *speed,
    ]


def _both_ways(found: Mapping[tuple[str, str], Figure]) -> dict[str, list[Figure]]:
    """Figures of two judges under the name of each, with the other's as facet."""
    by_judge: dict[str, list[Figure]] = {}
    for (one, other), figure in found.items():
        for name, facet in ((one, other), (other, one)):
            turned = Figure(figure.metric, figure.value, figure.n, facet=facet)
            by_judge.setdefault(name, []).append(turned)
    return by_judge
