"""The facts of a text as question-answer pairs, and the check whether another text confirms them.

The method follows QuestEval (arXiv:2103.12693) and QAFactEval (arXiv:2112.08542): a question
counts only if the text that it was derived from can answer it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from judges.language_model.choice import ModelReply
from judges.language_model.fence import fill_template, load_template
from judges.language_model.model import LanguageModel
from rlhf_core.text.overlap import token_f1

QUESTIONS = load_template("qa_questions")
ANSWER = load_template("qa_answer")
ANSWER_TOKENS = 24
PAIR_TOKENS = 40
PAIR = re.compile(
    r"^[^\w\n]{0,9}(?:\d+\W)?[^\w\n]{0,9}Q\d*[:.)][^\w\n]*(.+)\n"
    r"\s*[^\w\n]{0,9}A\d*[:.)][^\w\n]*(.+)$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Fact:
    """A question that a text answers, and the answer."""

    question: str
    answer: str


def parse_pairs(text: str, count: int) -> list[Fact]:
    """Return the first `count` pairs of lines "Q: …" and "A: …" with distinct questions."""
    facts: dict[str, Fact] = {}
    for question, answer in PAIR.findall(text):
        facts.setdefault(question, Fact(question.strip(), answer.strip()))
    return list(facts.values())[:count]


def request_pairs(model: LanguageModel, texts: Sequence[str], count: int) -> dict[str, ModelReply]:
    """Have the model write question-answer pairs about each text.

    Args:
        model: The model to query.
        texts: The texts.
        count: Most pairs per text.

    Returns:
        The model's reply, by text.
    """
    questions = [fill_template(QUESTIONS, (text,), text=text, count=str(count)) for text in texts]
    return dict(zip(texts, model.write(questions, count * PAIR_TOKENS), strict=True))


TextQuestion = tuple[str, str]
"""A text and a question about it."""


def request_answers(
    model: LanguageModel, questions: Sequence[TextQuestion]
) -> dict[TextQuestion, ModelReply]:
    """Have the model answer each question from its text alone."""
    prompts = [
        fill_template(ANSWER, (text, question), text=text, question=question)
        for text, question in questions
    ]
    return dict(zip(questions, model.write(prompts, ANSWER_TOKENS), strict=True))


def is_confirmed(
    fact: Fact, answers: Mapping[TextQuestion, ModelReply], text: str, threshold: float
) -> bool:
    """Return True if a text answers a fact's question as expected.

    Args:
        fact: The question and its expected answer.
        answers: The model's reply for each text and question.
        text: The text to check.
        threshold: Token F1 of the two answers from which they count as the same.
    """
    answer = answers[text, fact.question].text
    return answer is not None and token_f1(answer, fact.answer) >= threshold
