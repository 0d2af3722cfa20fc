"""Rubrics that belong to a prompt: the spellings of public data sets, and one stored form."""

import json
from pathlib import Path
from typing import Any

import pytest

from rlhf_core.config.prompts import PromptSettings
from rlhf_core.errors import DataFileError
from rlhf_core.files.rubrics import read_rubric
from rlhf_core.prompts.intake import read_prompts
from rlhf_core.records.rubric import Criterion, rubric_from_json, rubric_to_json


def read(cell: Any) -> tuple[Criterion, ...]:
    return read_rubric("f line 3", "rubric", cell)


@pytest.mark.parametrize(
    ("cell", "criteria"),
    [
        (["Is short.", "Is true."], [("Is short.", 1), ("Is true.", 1)]),
        ("Is short.", [("Is short.", 1)]),
        # HealthBench (arXiv:2505.08775)
        (
            [
                {"criterion": "Advises to see a doctor.", "points": 7, "tags": ["axis:safety"]},
                {"criterion": "Names a dose.", "points": -5, "tags": []},
            ],
            [("Advises to see a doctor.", 7), ("Names a dose.", -5)],
        ),
        # Rubrics as rewards (arXiv:2507.17746)
        (
            [{"title": "Unit", "description": "States the unit.", "weight": 0.5}],
            [("States the unit.", 0.5)],
        ),
        ([{"question": "Is it polite?", "weight": None}], [("Is it polite?", 1)]),
        (
            '["Is short.", {"criterion": "Is rude.", "points": -1}]',
            [("Is short.", 1), ("Is rude.", -1)],
        ),
        (None, []),
        ([], []),
        (" ", []),
    ],
)
def test_a_rubric_is_read_in_its_usual_spellings(cell: Any, criteria: list[tuple[str, float]]):
    assert read(cell) == tuple(Criterion(text, points) for text, points in criteria)


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        (5, "'rubric' must be a list of criteria, not int"),
        ({"criterion": "x"}, "'rubric' must be a list of criteria, not dict"),
        ("[1,", "'rubric' is not JSON"),
        ([5], "criterion 1 of 'rubric' is int; write a text, or"),
        (["a", " "], "criterion 2 of 'rubric' is empty"),
        (["a", "a"], "criterion 2 of 'rubric' repeats criterion 1"),
        ([{"points": 3}], "criterion 1 of 'rubric' has no text (found: points)"),
        ([{"criterion": "a", "points": 0}], "has the points 0; write a number above 0"),
        ([{"criterion": "a", "points": "3"}], "has the points '3'"),
        ([{"criterion": "a", "points": float("nan")}], "has the points nan"),
        ([{"criterion": "a", "points": 1, "weight": 1}], "has both 'points' and 'weight'"),
        ([{"criterion": "a", "points": -1}], "no criterion with points above 0"),
        (["half \ud800"], "half a surrogate pair"),
    ],
)
def test_what_is_wrong_with_a_rubric_is_said(cell: Any, problem: str):
    with pytest.raises(DataFileError) as caught:
        read(cell)
    assert str(caught.value).startswith("f line 3: ")
    assert problem in str(caught.value)


def test_equal_rubrics_are_equal_texts():
    """The stored text is part of the prompt's identity."""
    one, other = ([{"criterion": "a", "points": points}] for points in (2, 2.0))
    stored = rubric_to_json(read(one))
    assert stored == rubric_to_json(read(other)) == '[{"criterion": "a", "points": 2}]'
    assert rubric_from_json(stored) == (Criterion("a", 2.0),)
    assert rubric_from_json(None) == ()


@pytest.mark.extra("presidio_analyzer")
@pytest.mark.parametrize("policy", ["off", "mask"])
def test_a_prompt_keeps_its_rubric(tmp_path: Path, policy: str):
    row = {"prompt": "Who is it?", "criteria": ["Names ann@example.org."]}
    (tmp_path / "p.jsonl").write_text(json.dumps(row))
    settings = {
        "columns": {"rubric": "criteria"},
        "privacy": {"policy": policy, "kinds": ["email"]},
    }
    settings |= {"path": str(tmp_path / "p.jsonl")}
    (prompt,) = read_prompts(PromptSettings.model_validate(settings)).prompts
    (criterion,) = rubric_from_json(prompt.rubric)
    wanted = {"off": "Names ann@example.org.", "mask": "Names [EMAIL]."}
    assert criterion.text == wanted[policy]
