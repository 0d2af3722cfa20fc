"""The facts of a text as question-answer pairs: derived, filtered, and asked of another text.

After QuestEval (arXiv:2103.12693) and QAFactEval (arXiv:2112.08542): only what the text itself
can answer is asked of the other one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from judges.language_model.choice import Heard
from judges.language_model.fence import filled, template
from judges.language_model.model import LanguageModel
from rlhf_core.text.overlap import token_f1

QUESTIONS = template("qa_questions")
ANSWER = template("qa_answer")
ANSWER_TOKENS = 24
PAIR_TOKENS = 40
PAIR = re.compile(
    r"^[^\w\n]{0,9}(?:\d+\W)?[^\w\n]{0,9}Q\d*[:.)][^\w\n]*(.+)\n"
    r"\s*[^\w\n]{0,9}A\d*[:.)][^\w\n]*(.+)$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Fact:
    """A question a text answers, and its answer."""

    question: str
    answer: str


def parse_pairs(text: str, count: int) -> list[Fact]:
    """The first `count` pairs of lines "Q: …" and "A: …" with distinct questions."""
    facts: dict[str, Fact] = {}
    for question, answer in PAIR.findall(text):
        facts.setdefault(question, Fact(question.strip(), answer.strip()))
    return list(facts.values())[:count]


def derive(model: LanguageModel, texts: Sequence[str], count: int) -> dict[str, Heard]:
    """What the model wrote when asked for question-answer pairs, by text."""
    questions = [filled(QUESTIONS, (text,), text=text, count=str(count)) for text in texts]
    return dict(zip(texts, model.write(questions, count * PAIR_TOKENS), strict=True))


Asked = tuple[str, str]
"""A text and a question put to it."""


def ask(model: LanguageModel, asked: Sequence[Asked]) -> dict[Asked, Heard]:
    """What each text answers to its question, as the model reads it."""
    prompts = [
        filled(ANSWER, (text, question), text=text, question=question) for text, question in asked
    ]
    return dict(zip(asked, model.write(prompts, ANSWER_TOKENS), strict=True))


def is_confirmed(fact: Fact, answers: Mapping[Asked, Heard], text: str, threshold: float) -> bool:
    """Whether a text answers a question as expected, by token F1; False where it has no answer."""
    said = answers[text, fact.question].text
    return said is not None and token_f1(said, fact.answer) >= threshold
