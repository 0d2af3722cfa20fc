"""Grades and flags before and after, by hand, as the judge `rubric` notes them."""

from collections.abc import Mapping, Sequence

import pytest

from rlhf_core.evaluation.aspects import (
    Flag,
    Grade,
    Reading,
    Unread,
    aspect_figures,
    read_aspects,
    readings_to_json,
)
from rlhf_core.records import Candidate, EvaluationFigure, Judgement, Outcome
from tests.facts import candidate, prompt

PROMPTS = [prompt(f"Question {number}?") for number in range(8)]


def answers(model_id: str) -> dict[str, list[Candidate]]:
    return {
        one.id: [candidate(f"{model_id} answers", prompt_id=one.id, model_id=model_id)]
        for one in PROMPTS
    }


POLICY, BASELINE = answers("policy"), answers("sft")


def noted(
    side: Mapping[str, Sequence[Candidate]], readings: Sequence[Mapping[str, Reading]]
) -> list[Judgement]:
    """Return a judgement of each answer; without a score if an aspect is unread."""
    return [
        Judgement(
            prompt_id=prompt_id,
            judge="rubric",
            judge_version="v",
            candidate_id=group[0].id,
            outcome=Outcome.UNPARSED if has_unread(mine) else Outcome.SCORED,
            raw_output=readings_to_json(mine),
        )
        for (prompt_id, group), mine in zip(side.items(), readings, strict=True)
    ]


def has_unread(readings: Mapping[str, Reading]) -> bool:
    return any(isinstance(reading, Unread) for reading in readings.values())


def figures(judgements: Sequence[Judgement]) -> dict[tuple[str, str], EvaluationFigure]:
    rows = aspect_figures("e", POLICY, BASELINE, judgements, 0.95)
    return {(row.metric, row.facet): row for row in rows}


def test_grades_are_means_and_flags_are_shares_of_answers():
    """Grades 2 and 5 of 7; Yes on 8 of 8 answers, then on 1 of 8, and 0.5 is not a Yes.

    Grades rise on all 8 prompts, so p = 2/256, times 2 for two aspects. The flag falls on 7:
    p = 2/128, and Holm leaves the larger of two p-values as it is.
    """
    before = [{"quality": Grade(grade=2.0, highest=7), "rude": Flag(yes=0.9)}] * 8
    after = [
        {"quality": Grade(grade=5.0, highest=7), "rude": Flag(yes=0.6 if place == 0 else 0.5)}
        for place in range(8)
    ]
    found = figures([*noted(BASELINE, before), *noted(POLICY, after)])
    assert {key: (row.value, row.n) for key, row in found.items()} == {
        ("grade_quality", "before"): (pytest.approx(2.0), 8),
        ("grade_quality", "after"): (pytest.approx(5.0), 8),
        ("flag_rude", "before"): (1.0, 8),
        ("flag_rude", "after"): (0.125, 8),
    }
    assert found["grade_quality", "after"].p == pytest.approx(2 * 2 / 256)
    assert found["flag_rude", "after"].p == pytest.approx(2 / 128)
    assert found["grade_quality", "before"].p is None
    for row in found.values():
        lowest, highest = (1, 7) if row.metric == "grade_quality" else (0, 1)
        assert lowest <= row.low <= row.value <= row.high <= highest


def test_an_unread_aspect_is_counted_and_the_others_of_its_answer_count():
    unread = Unread(unread="the reply names no label", is_scale=False)
    before = [{"quality": Grade(grade=3.0, highest=5), "rude": Flag(yes=0.1)}] * 8
    after = [
        {
            "quality": Grade(grade=4.0, highest=5),
            "rude": unread if place < 2 else Flag(yes=0.1),
        }
        for place in range(8)
    ]
    found = figures([*noted(BASELINE, before), *noted(POLICY, after)])
    assert found["grade_quality", "after"].n == 8
    assert (found["flag_rude", "after"].n, found["flag_rude", "after"].value) == (6, 0.0)
    assert (found["unread_rude", "after"].n, found["unread_rude", "after"].value) == (8, 0.25)
    assert ("unread_rude", "before") not in found


def test_an_aspect_that_is_never_read_has_no_mean():
    unread = {"quality": Unread(unread="the server is down", is_scale=True)}
    found = figures([*noted(BASELINE, [unread] * 8), *noted(POLICY, [unread] * 8)])
    assert {key: row.value for key, row in found.items()} == {
        ("unread_quality", "before"): 1.0,
        ("unread_quality", "after"): 1.0,
    }


def test_a_repeated_judgement_replaces_the_failed_one():
    failed = noted(POLICY, [{"rude": Unread(unread="timeout", is_scale=False)}] * 8)
    read = noted(POLICY, [{"rude": Flag(yes=0.9)}] * 8)
    before = noted(BASELINE, [{"rude": Flag(yes=0.1)}] * 8)
    for order in ([*read, *failed], [*failed, *read]):
        found = figures([*order, *before])
        assert found["flag_rude", "after"].value == 1.0
        assert ("unread_rude", "after") not in found


def test_an_aspect_of_a_given_text_counts_the_prompts_that_have_one():
    readings: list[dict[str, Reading]] = [
        {"rude": Flag(yes=0.1), **({"invents": Flag(yes=0.8)} if place < 3 else {})}
        for place in range(8)
    ]
    found = figures([*noted(BASELINE, readings), *noted(POLICY, readings)])
    assert found["flag_invents", "after"].n == 3
    assert found["flag_rude", "after"].n == 8


@pytest.mark.parametrize(
    "raw_output",
    [None, "", "0.5", "{broken", '{"quality": 0.75}', '{"declines": true, "right": false}', "[1]"],
)
def test_other_raw_outputs_hold_no_readings(raw_output: str | None):
    assert read_aspects(raw_output) == {}
