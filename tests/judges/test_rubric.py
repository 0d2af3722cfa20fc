import json
from pathlib import Path

import pytest

from judges import Answer, load
from judges.language_model.assets import read_yaml
from judges.language_model.question import Question
from judges.rubric import Rubric
from rlhf_core.config import JudgeSettings
from rlhf_core.errors import ConfigError
from rlhf_core.evaluation.aspects import Flag, Grade, Unread, read_aspects
from rlhf_core.records import Outcome
from rlhf_core.records.rubric import Criterion, rubric_to_json
from tests.facts import prompt
from tests.judges.models import scripted

ASKED = prompt("What is the capital of France?", reference_answers=("Paris.",))
TWO = """
aspects:
  - {name: quality, question: How good is it, highest: 5, weight: 3}
  - {name: rude, question: Is it rude, best: "No", weight: 1}
  - {name: opinion, question: Has it an opinion, best: "No", weight: 0}
"""


def judge(rubric: str = "instructgpt", model: str = "tiny-random", **options: object):
    settings = {"kind": "rubric", "model": model, "rubric": rubric, **options}
    return load(JudgeSettings.model_validate(settings))


@pytest.fixture
def two(tmp_path: Path) -> str:
    path = tmp_path / "two.yaml"
    path.write_text(TWO)
    return str(path)


def test_the_shipped_rubric_is_instructgpts_scale_and_eleven_flags():
    aspects = read_yaml(Rubric, "rubrics", "instructgpt").aspects
    assert [aspect.highest for aspect in aspects if aspect.highest] == [7]
    assert sum(aspect.best is not None for aspect in aspects) == 11


def test_the_score_is_the_weighted_mean_of_expected_values(two: str):
    """(3·(4 − 1)/4 + 1·1) / 4 = 0.8125; the opinion is recorded and does not count."""
    found = judge(two)
    scripted(found, lambda q: "4" if "How good" in q.text else "No" if "rude" in q.text else "Yes")
    (opinion,) = found.score([Answer(ASKED, "Paris.")])
    assert opinion.score == pytest.approx(0.8125)
    assert read_aspects(opinion.raw_output) == {
        "quality": Grade(grade=4.0, highest=5),
        "rude": Flag(yes=0.0),
        "opinion": Flag(yes=1.0),
    }
    assert len(opinion.response_ids) == 3


def test_an_aspect_that_cannot_be_read_spoils_the_score_and_is_named(two: str):
    found = judge(two)
    scripted(found, lambda q: "who knows" if "rude" in q.text else "5")
    (opinion,) = found.score([Answer(ASKED, "Paris.")])
    assert (opinion.outcome, opinion.score) == (Outcome.UNPARSED, None)
    assert opinion.reason == "rude: the reply names no label"
    assert read_aspects(opinion.raw_output) == {
        "quality": Grade(grade=5.0, highest=5),
        "rude": Unread(unread="the reply names no label", is_scale=False),
        "opinion": Unread(unread="the reply names no label", is_scale=False),
    }


def test_hallucination_is_asked_about_only_where_a_text_is_given():
    found = judge()
    asked = scripted(found, lambda q: "4" if "digit" in q.text else "No")
    grounded = prompt("Who?", context="Ann left.")
    plain, given = found.score([Answer(ASKED, "Paris."), Answer(grounded, "Ann.")])
    assert len(plain.response_ids) == 11
    assert len(given.response_ids) == 12
    assert all(isinstance(question, Question) for question in asked)


@pytest.mark.parametrize(
    ("aspects", "message"),
    [
        ("[{name: a, question: q}]", "needs either `highest` or `best`"),
        ("[{name: a, question: q, highest: 3, best: 'No'}]", "needs either `highest` or `best`"),
        ("[{name: a, question: q, highest: 10}]", "less than or equal to 9"),
        ("[{name: a, question: q, highest: 3, weight: 0}]", "every weight is 0"),
        ("[]", "at least 1"),
    ],
)
def test_a_rubric_that_makes_no_sense_is_refused(aspects: str, message: str, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"aspects: {aspects}")
    with pytest.raises(ConfigError, match=message):
        _ = judge(str(path)).version


@pytest.mark.slow
def test_a_real_model_examines_softly():
    # It gives the labels less than half of the probability, so its words would be read.
    asked = judge(model="smollm2-135m-instruct", min_label_mass=0.0)
    (opinion,) = asked.score([Answer(ASKED, "Paris.")])
    assert opinion.outcome is Outcome.SCORED
    assert 0 < opinion.score < 1


def test_the_criteria_of_a_prompt_are_points_and_pitfalls():
    """(3·1 + 1·0 − 2·1) / (3 + 1) = 0.25: met and unmet criteria, and a pitfall."""
    points = [("Names Paris", 3.0), ("Gives its population", 1.0), ("Names {London}", -2.0)]
    criteria = rubric_to_json([Criterion(*one) for one in points])
    found = judge("prompt")
    asked = scripted(found, lambda q: "No" if "population" in q.text else "Yes")
    with_rubric = Answer(prompt("Capital?", rubric=criteria), "Paris, not London.")
    opinion, without = found.score([with_rubric, Answer(ASKED, "Paris.")])
    assert opinion.score == pytest.approx(0.25)
    assert json.loads(opinion.raw_output) == {
        "Names Paris": 1.0,
        "Gives its population": 0.0,
        "Names {London}": 1.0,
    }
    assert 'meet this criterion: "Names {London}"? Reply with one word: Yes' in asked[2].text
    assert len(opinion.response_ids) == len(asked) == 3
    assert (without.outcome, without.reason) == (
        Outcome.ABSTAINS,
        "the prompt has no rubric of its own",
    )


def test_pitfalls_alone_cost_no_less_than_everything():
    criteria = rubric_to_json([Criterion("Is short", 1.0), Criterion("Is rude", -5.0)])
    found = judge("prompt")
    scripted(found, lambda q: "Yes" if "rude" in q.text else "No")
    (opinion,) = found.score([Answer(prompt("Hi", rubric=criteria), "Go away.")])
    assert opinion.score == 0.0


def test_a_criterion_that_cannot_be_read_is_named():
    found = judge("prompt")
    scripted(found, lambda q: "who knows")
    criteria = rubric_to_json([Criterion("Is short", 1.0)])
    (opinion,) = found.score([Answer(prompt("Hi", rubric=criteria), "Hello.")])
    assert (opinion.outcome, opinion.score) == (Outcome.UNPARSED, None)
    assert opinion.reason == "Is short: the reply names no label"
