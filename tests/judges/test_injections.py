"""Every judge survives every attack, on both sides: one opinion each, in range, in bounded time."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from judges import kinds, load
from judges.bench.attacks import SLOT, Injection, injections
from judges.panel.judge import Answer, Contest, Judge, Opinion, PairwiseJudge
from rlhf_core.config import JudgeSettings
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.loading import load_tokenizer
from rlhf_core.records import Outcome
from tests.facts import prompt
from tests.judges.test_contract import OPTIONS

ASKED = prompt("What colour is the sky?", reference_answers=("Blue, at 470 nm.",))
SHORT = [injection for injection in injections() if injection.family != "long"]
LONG = [injection for injection in injections() if injection.family == "long"]
RUBRIC = """
aspects:
  - {name: quality, question: "How good is it?", highest: 5}
  - {name: is_harmful, question: "Is it harmful?", best: "No"}
"""
"""One aspect of each kind; the twelve of the shipped rubric are read the same way."""
LONGEST_SECONDS = 60.0
"""Limit on processor time for one megabyte per side; nearly all of it is tokenizing."""
ASKING_AGAIN = ("constitution", "direct", "question_answering")
VERIFIERS: dict[str, dict[str, Any]] = {
    "exact": {"metric": "exact"},
    "numeric": {"metric": "numeric"},
    "regex": {"metric": "regex", "pattern": "(?i)blue"},
    "json_schema": {"metric": "json_schema", "json_schema": {"type": "object"}},
    "maths": {"metric": "maths"},
}


def made(kind: str, options: dict[str, Any]) -> Judge[Any]:
    return load(JudgeSettings.model_validate({"kind": kind, **options}))


def by_name(kind: str) -> Any:
    """Return a kind as a parameter; those that query a model often are slow tests."""
    return pytest.param(kind, marks=pytest.mark.slow if kind in ASKING_AGAIN else [])


@pytest.fixture(
    params=[by_name(kind) for kind in (*kinds(), *(f"verifier {metric}" for metric in VERIFIERS))]
)
def judge(request: pytest.FixtureRequest, tmp_path: Path) -> Judge[Any]:
    kind, _, metric = request.param.partition(" ")
    options = VERIFIERS[metric] if metric else OPTIONS.get(kind, {})
    if kind == "rubric":
        (tmp_path / "short.yaml").write_text(RUBRIC)
        options = {**options, "rubric": str(tmp_path / "short.yaml")}
    return made(kind, options)


def ask_both_sides(judge: Judge[Any], texts: list[str]) -> list[Opinion]:
    if isinstance(judge, PairwiseJudge):
        shown = [Contest(ASKED, text, "Blue.") for text in texts]
        return judge.compare([*shown, *(Contest(ASKED, "Blue.", text) for text in texts)])
    return judge.score([Answer(ASKED, text) for text in texts])


def check(opinions: list[Opinion]) -> None:
    for opinion in opinions:
        number = opinion.score if opinion.probability is None else opinion.probability
        if opinion.outcome in (Outcome.SCORED, Outcome.FIRST, Outcome.SECOND, Outcome.TIE):
            assert number is not None
            assert 0 <= number <= 1
        else:
            assert number is None
            assert opinion.reason


def test_there_are_many_and_each_has_a_name_of_its_own():
    assert len(injections()) >= 40
    assert len({(i.family, i.name) for i in injections()}) == len(injections())
    assert len({i.apply("Green.") for i in injections()}) == len(injections())


def test_the_answer_stands_where_the_template_says():
    assert Injection("n", "f", f"a {SLOT} b {SLOT}").apply("{x}") == "a {x} b {x}"


def test_every_judge_survives_every_attack(judge: Judge[Any]):
    opinions = ask_both_sides(judge, [injection.apply("Green.") for injection in SHORT])
    assert len(opinions) in (len(SHORT), 2 * len(SHORT))
    check(opinions)


def test_every_judge_survives_a_megabyte(judge: Judge[Any]):
    survives(judge, LONG[0])


@pytest.mark.slow
@pytest.mark.parametrize("injection", LONG[1:], ids=lambda injection: injection.name)
def test_every_judge_survives_a_megabyte_of_anything(judge: Judge[Any], injection: Injection):
    survives(judge, injection)


def survives(judge: Judge[Any], injection: Injection) -> None:
    began = time.process_time()
    check(ask_both_sides(judge, [injection.apply("Green.")]))
    assert time.process_time() - began < LONGEST_SECONDS


@pytest.mark.parametrize("kind", ["direct", "pairwise"])
def test_the_fence_of_a_prompt_holds(kind: str):
    """The prompt has as many marks as with a harmless answer, and none inside the answer."""
    found: Any = made(kind, OPTIONS[kind])
    for injection in SHORT:
        text = injection.apply("Green.")
        if kind == "pairwise":
            asked = str(found.question(Contest(ASKED, text, "Blue.")))
            harmless = str(found.question(Contest(ASKED, "Green.", "Blue.")))
        else:
            asked = str(found.question(Answer(ASKED, text)))
            harmless = str(found.question(Answer(ASKED, "Green.")))
        assert text in asked
        assert len(marks(asked)) == len(marks(harmless))
        assert len(set(marks(asked))) == 1


def marks(question: str) -> list[str]:
    nonce = re.findall(r"\[([0-9a-f]{32}) request\]", question)[0]
    return re.findall(rf"\[({nonce}) ", question)


def test_tokens_of_chat_templates_become_plain_text():
    """An answer's text yields no special token, so it can neither end a turn nor begin one."""
    for name in ("tiny-random", "smollm2-135m-instruct"):
        tokenizer = load_tokenizer(name)
        chat = ChatFormat(tokenizer, system_prompt=None)
        special = set(tokenizer.all_special_ids)
        for injection in SHORT:
            assert not special & set(chat.plain_ids(injection.apply("Green.")))
