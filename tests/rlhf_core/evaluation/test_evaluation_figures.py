"""The rows beside an evaluation's win rate, from its answers and results."""

import pytest

from rlhf_core.evaluation.comparison import JudgedComparison, ModelComparison
from rlhf_core.evaluation.evaluation_figures import evaluation_figures, parts_of
from rlhf_core.records import Candidate, EvaluationFigure, EvaluationResult, Mode
from tests import facts
from tests.facts import candidate, prompt

ENGLISH = [prompt(f"Question {number}?") for number in range(10)]
RUSSIAN = [prompt(f"Вопрос {number}?", mode=Mode.CREATIVE) for number in range(10)]
PROMPTS = [*ENGLISH, *RUSSIAN]
LONG, SHORT = "x" * 80, "x" * 20


def answers(model_id: str, texts: list[str]) -> dict[str, list[Candidate]]:
    return {
        asked.id: [candidate(text, prompt_id=asked.id, model_id=model_id)]
        for asked, text in zip(PROMPTS, texts, strict=True)
    }


def figures(
    margins: list[float | None], policy: list[str], baseline: list[str]
) -> dict[tuple[str, str], EvaluationFigure]:
    ours, theirs = answers("policy", policy), answers("sft", baseline)
    evaluation = facts.evaluation(
        "policy", "sft", judge="f1", judge_version="v", prompts=20, comparisons=20
    )
    results = [
        EvaluationResult(
            evaluation_id=evaluation.id,
            prompt_id=asked.id,
            sample=0,
            policy_candidate_id=ours[asked.id][0].id,
            baseline_candidate_id=theirs[asked.id][0].id,
            margin=margin,
        )
        for asked, margin in zip(PROMPTS, margins, strict=True)
    ]
    comparison = ModelComparison(PROMPTS, ours, theirs, 0.0, "s")
    rows = evaluation_figures(comparison, JudgedComparison(evaluation, results), 0.95)
    assert {row.evaluation_id for row in rows} <= {evaluation.id}
    return {(row.metric, row.facet): row for row in rows}


def test_each_part_is_a_row():
    """English: 9 of 10, sign test 22 / 1024; Russian: 5 of 10. Two facets divide: four tests."""
    found = figures([0.2] * 9 + [-0.2] + [0.5, -0.5] * 5, [LONG] * 20, [LONG] * 20)
    mode = found["win_rate_by_mode", ENGLISH[0].mode]
    assert (mode.n, mode.value) == (10, 0.9)
    assert mode.p == pytest.approx(4 * 22 / 1024)
    assert mode.low is not None
    assert mode.low < 0.9
    assert found["win_rate_by_mode", "creative"].value == 0.5
    assert found["win_rate_by_script", "Cyrillic"].value == 0.5
    assert found["win_rate_by_script", "Latin"] == mode.model_copy(
        update={"metric": "win_rate_by_script", "facet": "Latin"}
    )
    # All answers of the baseline are equally long.
    assert not any(metric == "win_rate_by_baseline_length" for metric, _ in found)


def test_equal_lengths_leave_the_win_rate():
    found = figures([0.2] * 9 + [-0.2] + [0.5, -0.5] * 5, [LONG] * 20, [LONG] * 20)
    controlled = found["length_controlled_win_rate", ""]
    assert (controlled.n, controlled.value) == (20, pytest.approx(0.7, abs=1e-6))
    assert controlled.low is not None
    assert controlled.high is not None
    assert controlled.low < 0.7 < controlled.high
    assert found["length_effect", ""].value == pytest.approx(0.0, abs=1e-6)


def test_a_policy_whose_longer_answers_win_gets_half():
    """Half of its answers are longer and win, half are shorter and lose."""
    won = [0.5] * 5 + [-0.5] * 5
    policy = ([LONG] * 5 + [SHORT] * 5) * 2
    found = figures(won * 2, policy, ["x" * 50] * 20)
    assert found["length_controlled_win_rate", ""].value == pytest.approx(0.5, abs=1e-6)
    assert found["length_effect", ""].value > 2


def test_unscored_comparisons_are_left_out():
    found = figures([0.5, -0.5] * 5 + [None] * 10, [LONG, SHORT] * 10, [SHORT] * 20)
    assert found["length_controlled_win_rate", ""].n == 10
    assert not any(metric.startswith("win_rate_by") for metric, _ in found)
    assert figures([None] * 20, [LONG] * 20, [LONG] * 20) == {}


def test_the_length_of_a_part_is_the_baselines():
    baseline = answers("sft", [SHORT] * 6 + ["x" * 40] * 7 + [LONG] * 7)
    parts = parts_of(PROMPTS, baseline)
    found = [parts[asked.id]["baseline_length"] for asked in PROMPTS]
    assert found == ["short"] * 6 + ["middle"] * 7 + ["long"] * 7


def test_topics_of_few_prompts_are_one_part():
    """Eight prompts of maths are a part; seven of law and one of art are the others."""
    topics = {
        asked.id: topic
        for asked, topic in zip(PROMPTS, ["maths"] * 8 + ["law"] * 7 + ["art"], strict=False)
    }
    baseline = answers("sft", [SHORT] * 20)
    parts = [parts_of(PROMPTS, baseline, topics)[asked.id]["topic"] for asked in PROMPTS]
    assert parts == ["maths"] * 8 + ["other topics"] * 8 + ["no topic"] * 4
    assert "topic" not in parts_of(PROMPTS, baseline)[PROMPTS[0].id]
