"""Figures of a cycle's evaluations beside the win rates, gathered from the store for its page."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from flows.reports.pages import query_text
from rlhf_core.evaluation.abstention_table import SHARES
from rlhf_core.evaluation.aspects import FLAG, GRADE, MEAN, UNREAD
from rlhf_core.evaluation.changes import AFTER, BEFORE
from rlhf_core.evaluation.evaluation_figures import BY_PART, LENGTH_CONTROLLED
from rlhf_core.records import BenchmarkFigure, Evaluation, EvaluationFigure
from rlhf_core.store import Store

ASPECTS_SQL = """
SELECT judge, metric, facet, value, low, high, n, p
FROM evaluation_figures JOIN evaluations ON evaluations.id = evaluation_id
WHERE settings = ? AND regexp_matches(metric, '^(grade|flag|mean|unread)_')
ORDER BY judge, metric, facet DESC"""

BENCHMARKS_SQL = """
SELECT benchmark, metric, part, n, value, low, high, against_id, against_value, difference,
       difference_low, difference_high, p
FROM benchmark_figures WHERE model_id = ? ORDER BY benchmark, against_id, metric, part"""


class ShownAspect(NamedTuple):
    """One aspect that a judge noted of both models' answers."""

    judge: str
    name: str
    is_grade: bool
    before: EvaluationFigure
    after: EvaluationFigure
    unread: tuple[float, float]
    """Share of answers without a reading, before and after."""


def evaluation_details(
    store: Store, evaluations: Sequence[Evaluation], deciding: Evaluation
) -> dict[str, Any]:
    """Return the variables of the template that hold figures beside the win rates.

    Args:
        store: The store.
        evaluations: All evaluations of the cycle's policy.
        deciding: The one that decided.
    """
    figures = _Figures(store, evaluations)
    return {
        "length_controlled": figures.length_controlled(),
        "parts": figures.parts(deciding),
        "abstention": figures.abstention(),
        "aspects": figures.aspects(),
        "aspects_sql": query_text(ASPECTS_SQL, [deciding.settings]),
        "benchmarks": [
            row
            for row in store.rows(BenchmarkFigure, "model_id = ?", [deciding.policy_id])
            if not row.part
        ],
        "benchmarks_sql": query_text(BENCHMARKS_SQL, [deciding.policy_id]),
    }


class _Figures:
    """The figures of some evaluations."""

    def __init__(self, store: Store, evaluations: Sequence[Evaluation]) -> None:
        ids = [evaluation.id for evaluation in evaluations]
        self.evaluations = evaluations
        self.rows = store.rows(EvaluationFigure, "evaluation_id IN (SELECT unnest(?))", [ids])
        self.by_name = {(row.evaluation_id, row.metric, row.facet): row for row in self.rows}

    def length_controlled(self) -> dict[str, EvaluationFigure]:
        """Return the length-controlled win rate of each evaluation that has one, by its id."""
        return {row.evaluation_id: row for row in self.rows if row.metric == LENGTH_CONTROLLED}

    def parts(self, deciding: Evaluation) -> list[tuple[str, EvaluationFigure]]:
        """Return the win rates by part of the deciding evaluation, with the name of the facet."""
        named = [
            (row.metric.removeprefix(BY_PART).replace("_", " "), row)
            for row in self.rows
            if row.evaluation_id == deciding.id and row.metric.startswith(BY_PART)
        ]
        return sorted(named, key=lambda each: (each[0], -each[1].n, each[1].facet))

    def abstention(self) -> list[tuple[str, EvaluationFigure, EvaluationFigure]]:
        """Return the judge, and each share of answers before and after, where there are any."""
        return [
            (
                each.judge,
                self.by_name[each.id, metric, BEFORE],
                self.by_name[each.id, metric, AFTER],
            )
            for each in self.evaluations
            for metric in SHARES
            if (each.id, metric, AFTER) in self.by_name
        ]

    def aspects(self) -> list[ShownAspect]:
        """Return the aspects that each judge noted, in the order of its rubric."""
        return [
            self._aspect(each, row)
            for each in self.evaluations
            for row in self.rows
            if row.evaluation_id == each.id
            and row.facet == AFTER
            and row.metric.startswith((GRADE, FLAG, MEAN))
        ]

    def _aspect(self, evaluation: Evaluation, after: EvaluationFigure) -> ShownAspect:
        name = after.metric.partition("_")[2]
        unread = [
            row.value if (row := self.by_name.get((evaluation.id, UNREAD + name, facet))) else 0.0
            for facet in (BEFORE, AFTER)
        ]
        before = self.by_name[evaluation.id, after.metric, BEFORE]
        return ShownAspect(
            judge=evaluation.judge,
            name=name,
            is_grade=after.metric.startswith(GRADE),
            before=before,
            after=after,
            unread=(unread[0], unread[1]),
        )
