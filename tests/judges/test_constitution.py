import json
from pathlib import Path

import pytest

from judges import Contest, load
from judges.constitution import THINK, VERDICT
from judges.language_model.principles import read_constitution
from judges.language_model.question import Question
from rlhf_core.config import JudgeSettings
from rlhf_core.errors import ConfigError
from rlhf_core.records import Outcome
from tests.facts import prompt
from tests.judges.models import scripted

ASKED = prompt("What is the capital of France?", reference_answers=("Paris.",))
CONTEST = Contest(ASKED, "Paris.", "Bananas are yellow.")
SWAPPED = Contest(ASKED, CONTEST.second, CONTEST.first)


def judge(**options: object):
    return load(JudgeSettings.model_validate({"kind": "constitution", **options}))


def test_we_ship_at_least_sixteen_principles_and_examples_for_both_verdicts():
    shipped = read_constitution("default")
    assert len({principle.name for principle in shipped.principles}) >= 16
    assert {shot.better for shot in shipped.few_shots} == {"first", "second"}


def test_both_orders_are_judged_by_the_same_principle():
    tiny = judge(model="tiny-random")
    assert tiny.principle(CONTEST) == tiny.principle(SWAPPED)


def test_principles_are_drawn_evenly():
    """180 comparisons over 18 principles: 10 each expected, standard deviation about 3."""
    tiny = judge(model="tiny-random")
    drawn = [tiny.principle(Contest(ASKED, str(n), "x")).name for n in range(180)]
    counts = [drawn.count(principle.name) for principle in tiny._constitution.principles]
    assert min(counts) >= 2
    assert max(counts) <= 22


def test_the_question_holds_examples_principle_and_fenced_answers():
    tiny = judge(model="tiny-random", few_shots=2)
    question = str(tiny.question(CONTEST, VERDICT))
    assert question.count("The better answer is:") == 2
    assert tiny.principle(CONTEST).prefer in question
    assert question.endswith(VERDICT)
    nonce = question.split("lines of the form [")[1].split(" ")[0]
    assert question.count(f"[{nonce} end]") == 5  # the rule, request, reference, two answers


def test_the_principle_is_kept_with_the_verdict():
    words = judge(model="tiny-random")
    scripted(words, lambda question: "(A)")
    (opinion,) = words.compare([CONTEST])
    assert (opinion.outcome, opinion.probability) == (Outcome.FIRST, 1.0)
    assert json.loads(opinion.raw_output)["principle"] == words.principle(CONTEST).name


def test_with_chain_of_thought_the_model_reasons_first_and_is_clamped():
    """A probability of 1 becomes the paper's 0.6: reasoning makes models overconfident."""
    thinks = judge(model="tiny-random", chain_of_thought=True)

    def say(question: Question) -> str:
        return "The first names a city." if question.text.endswith(THINK) else "A"

    asked = scripted(thinks, say)
    (opinion,) = thinks.compare([CONTEST])
    assert [bool(question.labels) for question in asked] == [False, True]
    assert "your reasoning]\nThe first names a city.\n" in asked[1].text
    assert opinion.probability == 0.6
    assert len(opinion.response_ids) == 2
    assert opinion.prompt_tokens == 18  # 9 a question, as tests/facts.py says


def test_a_constitution_of_your_own_is_another_judge(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("principles: [{name: one, prefer: Shorter., critique: Long., revise: Cut.}]")
    mine = judge(model="tiny-random", constitution=str(path))
    assert "Principle: Shorter.\n" in str(mine.question(CONTEST, VERDICT))
    assert mine.version != judge(model="tiny-random").version


def test_a_constitution_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match=r"no 'nope' among the constitutions; .* one of: default"):
        _ = judge(model="tiny-random", constitution="nope").version


def test_a_wrong_key_in_a_constitution_is_named(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("principles: [{name: one, prefers: Shorter., critique: x, revise: y}]")
    with pytest.raises(ConfigError, match=r"unknown key 'principles\.0\.prefers'; did you mean"):
        read_constitution(str(path))


@pytest.mark.parametrize("chain_of_thought", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_real_model_judges_softly(chain_of_thought: bool):
    """A model this small gives the letters less than half of the probability; they still count."""
    options = {"reasoning_tokens": 8, "few_shots": 1, "min_label_mass": 0.0}
    real = judge(chain_of_thought=chain_of_thought, **options)
    for opinion in real.compare([CONTEST, SWAPPED]):
        assert opinion.outcome in (Outcome.FIRST, Outcome.SECOND, Outcome.TIE)
        assert 0 < opinion.probability < 1
