import json

import pytest

from judges import Answer, load
from judges.language_model.facts import Fact, parse_pairs
from judges.language_model.question import Question
from rlhf_core.config import JudgeSettings
from rlhf_core.records import Outcome
from tests.facts import prompt
from tests.judges.models import scripted

REFERENCE = "Ann left Paris in 1990."
ASKED = prompt("What did Ann do?", reference_answers=(REFERENCE,))
FACTS = {
    REFERENCE: "Q: Who left?\nA: Ann\nQ: When?\nA: 1990\nQ: Why?\nA: for work",
    "Ann left in 1990 by train.": "Q: Who left?\nA: Ann\nQ: How?\nA: by train",
}
ANSWERS = {
    (REFERENCE, "Who left?"): "Ann",
    (REFERENCE, "When?"): "In 1990.",
    (REFERENCE, "Why?"): "unanswerable",  # so it is never asked of the other text
    (REFERENCE, "How?"): "unanswerable",
    ("Ann left in 1990 by train.", "Who left?"): "Ann.",
    ("Ann left in 1990 by train.", "When?"): "1990",
    ("Ann left in 1990 by train.", "How?"): "by train",
}


def judge(**options: object):
    settings = {"kind": "question_answering", "model": "tiny-random", **options}
    return load(JudgeSettings.model_validate(settings))


def say(question: Question) -> str:
    text = question.text.split(" text]\n")[1].split("\n[")[0]
    if "Write at most" in question.text:
        return FACTS[text]
    return ANSWERS[text, question.text.split(" question]\n")[1].split("\n[")[0]]


@pytest.mark.parametrize(
    ("measure", "score"),
    [
        ("recall", 1.0),  # who and when are confirmed; why was dropped
        ("precision", 0.5),  # who is confirmed, how is not
        ("f1", 2 / 3),
    ],
)
def test_facts_are_derived_filtered_and_asked_of_the_other_text(measure: str, score: float):
    found = judge(measure=measure)
    asked = scripted(found, say)
    (opinion,) = found.score([Answer(ASKED, "Ann left in 1990 by train.")])
    assert opinion.score == pytest.approx(score)
    assert list(json.loads(opinion.raw_output)) == (
        [measure] if measure != "f1" else ["precision", "recall"]
    )
    assert len(opinion.response_ids) == len({question.text for question in asked})


def test_a_contradicted_fact_is_not_confirmed():
    found = judge(measure="recall")
    scripted(found, lambda q: "1985" if "When?" in q.text and "1985" in q.text else say(q))
    FACTS["Ann left in 1985."] = "nothing"
    ANSWERS["Ann left in 1985.", "Who left?"] = "Ann"
    (opinion,) = found.score([Answer(ASKED, "Ann left in 1985.")])
    assert opinion.score == 0.5


def test_without_questions_there_is_no_opinion():
    found = judge()
    scripted(found, lambda question: "I have none.")
    (opinion,) = found.score([Answer(ASKED, "Hm.")])
    assert opinion.outcome is Outcome.ABSTAINS
    assert "no question was derived" in opinion.reason


def test_without_a_text_to_compare_with_there_is_no_opinion():
    (opinion,) = judge(against="context").score([Answer(ASKED, "Ann left.")])
    assert opinion.reason == "the prompt has no context"


def test_pairs_are_read_in_the_forms_models_write():
    text = "Sure!\n1. Q: Who?\n   A: Ann\n\n**Q2:** When?\nA2: 1990\nQ: Who?\nA: Bob\nQ: no answer"
    assert parse_pairs(text, 5) == [Fact("Who?", "Ann"), Fact("When?", "1990")]
    assert parse_pairs(text, 1) == [Fact("Who?", "Ann")]


@pytest.mark.slow
def test_a_real_model_is_asked_in_three_rounds():
    real = judge(model="smollm2-135m-instruct", questions=2, measure="recall")
    (opinion,) = real.score([Answer(ASKED, "Ann left Paris.")])
    assert opinion.outcome in (Outcome.SCORED, Outcome.ABSTAINS)
    assert opinion.completion_tokens > 0
