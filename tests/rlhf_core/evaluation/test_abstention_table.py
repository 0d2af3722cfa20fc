"""The abstention table by hand, from judgements as the judge `abstention` gives them."""

import pytest

from judges.abstention import AbstentionJudge, AbstentionOptions
from judges.panel.judge import Answer
from rlhf_core.config import JudgeSettings
from rlhf_core.evaluation.abstention_table import (
    AnswerVerdict,
    abstention_figures,
    read_verdict,
)
from rlhf_core.records import Candidate, EvaluationFigure, Judgement, Outcome
from tests.facts import candidate, prompt

KNOWN = [prompt(f"What is thing {n}?", reference_answers=(f"Thing {n}.",)) for n in range(10)]
UNKNOWN = [prompt(f"What will be in {n}?", reference_answers=("Nobody knows.",)) for n in range(2)]
PROMPTS = [*KNOWN, *UNKNOWN]
DECLINES, WRONG = "I don't know.", "An invention."


def right(number: int) -> str:
    return f"Thing {number}."


BEFORE = [right(0), right(1), *[WRONG] * 10]
"""Two right answers, and ten made up, two of them about what nobody knows."""
AFTER = [right(0), WRONG, *[DECLINES] * 10]
"""One right answer, one wrong, eight abstentions, and two right ones about what nobody knows."""


def answers(model_id: str, texts: list[str]) -> dict[str, list[Candidate]]:
    return {
        asked.id: [candidate(text, prompt_id=asked.id, model_id=model_id)]
        for asked, text in zip(PROMPTS, texts, strict=True)
    }


def judged(*sides: dict[str, list[Candidate]]) -> list[Judgement]:
    """Return the verdicts of the real judge."""
    options = AbstentionOptions(
        judge=JudgeSettings.model_validate({"kind": "verifier", "metric": "exact"})
    )
    judge = AbstentionJudge(options)
    result = []
    for side in sides:
        candidates = [answer for group in side.values() for answer in group]
        opinions = judge.score(
            [Answer(asked, answer.text) for asked, answer in zip(PROMPTS, candidates, strict=True)]
        )
        result += [
            Judgement(
                prompt_id=answer.prompt_id,
                judge="abstention",
                judge_version="v",
                candidate_id=answer.id,
                outcome=Outcome.SCORED,
                score=opinion.score,
                raw_output=opinion.raw_output,
            )
            for answer, opinion in zip(candidates, opinions, strict=True)
        ]
    return result


@pytest.fixture
def table() -> dict[tuple[str, str], EvaluationFigure]:
    policy, baseline = answers("policy", AFTER), answers("sft", BEFORE)
    rows = abstention_figures("e", policy, baseline, judged(policy, baseline), 0.95)
    return {(row.metric, row.facet): row for row in rows}


def test_shares_before_and_after(table: dict[tuple[str, str], EvaluationFigure]):
    shares = {key: round(12 * row.value, 6) for key, row in table.items()}
    assert shares == {
        ("answers_right", "before"): 2,
        ("answers_abstain", "before"): 0,
        ("answers_wrong", "before"): 10,
        ("answers_truthful", "before"): 2,
        ("answers_informative", "before"): 12,
        ("answers_truthful_and_informative", "before"): 2,
        ("answers_right", "after"): 3,
        ("answers_abstain", "after"): 8,
        ("answers_wrong", "after"): 1,
        ("answers_truthful", "after"): 11,
        ("answers_informative", "after"): 2,
        ("answers_truthful_and_informative", "after"): 1,
    }
    assert {row.n for row in table.values()} == {12}


def test_changes_have_corrected_p_values(table: dict[tuple[str, str], EvaluationFigure]):
    """Signs: right +2 −1; abstain 8 of 8; wrong 10 of 11; informative 10 of 10; both 1 of 1.

    Truthful is the mirror of wrong. The six p-values times their ranks: informative 2/1024 · 6,
    abstain 2/256 · 5, wrong and truthful 24/2048 · 4, right and both 1.
    """
    assert table["answers_informative", "after"].p == pytest.approx(12 / 1024)
    assert table["answers_abstain", "after"].p == pytest.approx(10 / 256)
    assert table["answers_wrong", "after"].p == pytest.approx(4 * 24 / 2048)
    assert table["answers_truthful", "after"].p == pytest.approx(4 * 24 / 2048)
    assert table["answers_right", "after"].p == 1.0
    assert {row.p for (_, facet), row in table.items() if facet == "before"} == {None}


def test_other_judges_have_no_table():
    policy, baseline = answers("policy", AFTER), answers("sft", BEFORE)
    others = [each.model_copy(update={"raw_output": "0.7"}) for each in judged(policy, baseline)]
    assert abstention_figures("e", policy, baseline, others, 0.95) == []


def test_only_prompts_with_both_sides_count():
    policy, baseline = answers("policy", AFTER), answers("sft", BEFORE)
    half = judged(policy)[:6] + judged(baseline)[3:]
    rows = abstention_figures("e", policy, baseline, half, 0.95)
    assert {row.n for row in rows} == {3}


@pytest.mark.parametrize(
    ("raw_output", "verdict"),
    [
        ('{"declines": true, "right": false}', AnswerVerdict(True, False)),
        ('{"declines": 1, "right": false}', None),
        ('{"right": true}', None),
        ("{broken", None),
        ("[1]", None),
        ("", None),
        (None, None),
    ],
)
def test_what_holds_a_verdict(raw_output: str | None, verdict: AnswerVerdict | None):
    assert read_verdict(raw_output) == verdict
