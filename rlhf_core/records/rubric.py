"""Rubrics: the criteria of answers to one prompt, with their points."""

import json
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Criterion:
    """One criterion of a rubric.

    `points` are what an answer gains by meeting the criterion. They are never 0; below 0, the
    answer should not meet the criterion, and loses points if it does (arXiv:2505.08775).
    """

    text: str
    points: float = 1.0


def rubric_to_json(criteria: Sequence[Criterion]) -> str:
    """Return criteria as `Prompt.rubric` keeps them.

    The form is a JSON list with one object a criterion, in the order of the source:
    `[{"criterion": "Names a river", "points": 1}, {"criterion": "Invents one", "points": -2}]`.
    At least one criterion has points above 0, and no text repeats. Whole numbers are written
    without a fraction, so that equal rubrics are equal texts.
    """
    return json.dumps(
        [{"criterion": one.text, "points": _shortest(one.points)} for one in criteria],
        ensure_ascii=False,
    )


def rubric_from_json(text: str | None) -> tuple[Criterion, ...]:
    """Return the criteria of a stored rubric, in their order; none for None."""
    return tuple(
        Criterion(one["criterion"], float(one["points"])) for one in json.loads(text or "[]")
    )


def _shortest(number: float) -> float | int:
    return int(number) if number == int(number) else number
