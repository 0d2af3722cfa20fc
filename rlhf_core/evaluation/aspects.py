"""The aspects that a judge notes of each answer, before and after, as paired figures.

The judges `rubric` and `classifier` note aspects. With the rubric `instructgpt` these are the
metadata of InstructGPT's labelers (arXiv:2203.02155, table 3): overall quality from 1 to 7, and
eleven flags.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from rlhf_core.evaluation.changes import AFTER, BEFORE, Change, Values, change_figures
from rlhf_core.evaluation.comparison import Answers
from rlhf_core.preferences.votes import OPINIONS
from rlhf_core.records import EvaluationFigure, Judgement

GRADE, FLAG, MEAN, UNREAD = "grade_", "flag_", "mean_", "unread_"
"""Beginnings of the metrics of a scale, a flag, a probability, and of what could not be read."""


class _Reading(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Grade(_Reading):
    """An answer's expected grade on a scale from 1 to `highest`."""

    grade: float
    highest: Annotated[int, Field(ge=2)]


class Flag(_Reading):
    """The probability that an answer has a flag."""

    yes: Annotated[float, Field(ge=0.0, le=1.0)]


class Level(_Reading):
    """A probability whose mean is of interest by itself."""

    level: Annotated[float, Field(ge=0.0, le=1.0)]


class Unread(_Reading):
    """The reason why there is no reading of an aspect, and its kind."""

    unread: str
    is_scale: bool


Reading: TypeAlias = Grade | Flag | Level | Unread
"""The replies about one aspect of an answer."""

_READINGS: TypeAdapter[dict[str, Reading]] = TypeAdapter(dict[str, Reading])


def readings_to_json(readings: Mapping[str, Reading]) -> str:
    """Return readings by aspect as `Judgement.raw_output` keeps them."""
    return json.dumps({name: reading.model_dump() for name, reading in readings.items()})


def read_aspects(raw_output: str | None) -> dict[str, Reading]:
    """Return the readings in a raw output of a judge; empty if it holds none."""
    if not raw_output or not raw_output.startswith("{"):
        return {}
    try:
        return _READINGS.validate_json(raw_output)
    except ValidationError:
        return {}


def aspect_figures(
    evaluation_id: str,
    policy: Answers,
    baseline: Answers,
    judgements: Sequence[Judgement],
    confidence: float,
) -> list[EvaluationFigure]:
    """Return mean grades and levels, and shares of flagged answers, of baseline and policy.

    A flag is raised if Yes is more likely than No.

    Args:
        evaluation_id: Evaluation by the judge.
        policy: The policy's answers by prompt.
        baseline: The baseline's answers by prompt.
        judgements: Judgements of the answers by the evaluation's judge, also those without an
            opinion: other aspects of the same answer may have been read.
        confidence: Confidence of the intervals, 0.95 for 95 %.

    Returns:
        The figures by `change_figures`, and the share of unread answers of each aspect that has
        any, per side; none by a judge that notes no aspects.
    """
    noted = _by_candidate(judgements)
    changes, unread = [], []
    for name, kind in _aspects(noted).items():
        before, after = (_readings(side, noted, name) for side in (baseline, policy))
        change = Change(kind + name, _values(before), _values(after))
        highest = _highest(noted, name) if kind == GRADE else None
        if highest is not None:
            change = change._replace(lowest=1.0, highest=float(highest))
        changes.append(change)
        unread += _unread(evaluation_id, name, before, after)
    return [*change_figures(evaluation_id, changes, confidence), *unread]


def _by_candidate(judgements: Sequence[Judgement]) -> dict[str, dict[str, Reading]]:
    """Return the readings of each answer; those of an opinion replace those of a failed attempt."""
    ordered = sorted(judgements, key=lambda judgement: judgement.outcome in OPINIONS)
    found = {each.candidate_id: read_aspects(each.raw_output) for each in ordered}
    return {candidate: readings for candidate, readings in found.items() if readings}


def _aspects(noted: Mapping[str, Mapping[str, Reading]]) -> dict[str, str]:
    """Return the beginning of each aspect's metric, in the order of the rubric."""
    return {
        name: _kind(reading) for readings in noted.values() for name, reading in readings.items()
    }


def _kind(reading: Reading) -> str:
    if isinstance(reading, Level):
        return MEAN
    is_scale = reading.is_scale if isinstance(reading, Unread) else isinstance(reading, Grade)
    return GRADE if is_scale else FLAG


def _highest(noted: Mapping[str, Mapping[str, Reading]], name: str) -> int | None:
    grades = (readings.get(name) for readings in noted.values())
    return next((each.highest for each in grades if isinstance(each, Grade)), None)


def _readings(
    answers: Answers, noted: Mapping[str, Mapping[str, Reading]], name: str
) -> dict[str, list[Reading]]:
    """Return the readings of one aspect by prompt; those of answers that it applies to."""
    found = {
        prompt: [noted[one.id][name] for one in group if name in noted.get(one.id, {})]
        for prompt, group in answers.items()
    }
    return {prompt: readings for prompt, readings in found.items() if readings}


def _values(readings: Mapping[str, Sequence[Reading]]) -> Values:
    found: dict[str, list[float]] = {}
    for prompt, group in readings.items():
        for reading in group:
            if isinstance(reading, Grade):
                value = (reading.grade - 1) / (reading.highest - 1)
                found.setdefault(prompt, []).append(min(max(value, 0.0), 1.0))
            elif isinstance(reading, Flag):
                found.setdefault(prompt, []).append(float(reading.yes > 0.5))
            elif isinstance(reading, Level):
                found.setdefault(prompt, []).append(reading.level)
    return found


def _unread(
    evaluation_id: str,
    name: str,
    before: Mapping[str, Sequence[Reading]],
    after: Mapping[str, Sequence[Reading]],
) -> list[EvaluationFigure]:
    rows = []
    for facet, side in ((BEFORE, before), (AFTER, after)):
        readings = [reading for group in side.values() for reading in group]
        count = sum(isinstance(reading, Unread) for reading in readings)
        if count:
            rows.append(
                EvaluationFigure(
                    evaluation_id=evaluation_id,
                    metric=UNREAD + name,
                    facet=facet,
                    n=len(readings),
                    value=count / len(readings),
                )
            )
    return rows
