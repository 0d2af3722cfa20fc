"""Means over answers of the baseline (`before`) and of the policy (`after`), as paired figures."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rlhf_core.evaluation.breakdown import holm, paired_difference
from rlhf_core.evaluation.intervals import mean_interval
from rlhf_core.records import EvaluationFigure

BEFORE, AFTER = "before", "after"

Values = Mapping[str, Sequence[float]]
"""Values from 0 to 1 of a model's answers, by prompt; at least one a prompt."""


class Change(NamedTuple):
    """A figure of both models. Values from 0 to 1 stand for `lowest` to `highest`."""

    metric: str
    before: Values
    after: Values
    lowest: float = 0.0
    highest: float = 1.0


def change_figures(
    evaluation_id: str, changes: Sequence[Change], confidence: float
) -> list[EvaluationFigure]:
    """Return each mean before and after, over the prompts that both models have values for.

    Args:
        evaluation_id: Evaluation that the figures belong to.
        changes: The figures, which are tested together.
        confidence: Confidence of the intervals, 0.95 for 95 %.

    Returns:
        Two rows a figure, none without a common prompt. Each prompt counts once. The p-value of
        `after` tests that nothing changed, by Holm's correction over all figures.
    """
    shared = [change for change in changes if change.before.keys() & change.after.keys()]
    p_values = []
    for change in shared:
        difference = paired_difference(change.after, change.before, confidence)
        assert difference is not None, "there is a common prompt"
        p_values.append(difference.p)
    return [
        row
        for change, p in zip(shared, holm(p_values), strict=True)
        for row in _two_rows(evaluation_id, change, confidence, p)
    ]


def _two_rows(
    evaluation_id: str, change: Change, confidence: float, p: float
) -> list[EvaluationFigure]:
    common = [prompt for prompt in change.before if prompt in change.after]
    width = change.highest - change.lowest
    rows = []
    for facet, side in ((BEFORE, change.before), (AFTER, change.after)):
        groups = [side[prompt] for prompt in common]
        mean = sum(sum(group) / len(group) for group in groups) / len(groups)
        ends = mean_interval(groups, confidence)
        value, low, high = (change.lowest + width * each for each in (mean, *ends))
        rows.append(
            EvaluationFigure(
                evaluation_id=evaluation_id,
                metric=change.metric,
                facet=facet,
                n=len(groups),
                value=value,
                low=low,
                high=high,
                p=p if facet == AFTER else None,
            )
        )
    return rows
