"""A language model grades each answer: the expected grade, by the probability of every grade."""

from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from typing import Annotated

from pydantic import Field

from judges._base import Answer, Opinion, PointwiseJudge, Workload, scored
from judges._language_model import TRANSPORT, Choice, LanguageModel, LanguageModelOptions, fenced

TEMPLATE_TOKENS = 120
TEMPLATE = (files("judges") / "prompts" / "direct.txt").read_text(encoding="utf-8")


class DirectOptions(LanguageModelOptions):
    highest: Annotated[int, Field(ge=2, le=9)] = 9
    """Grades run from 1 to this; a grade must be one token, so none has two digits."""
    shows_reference: bool = True
    """Put the reference answer, where there is one, into the prompt."""


class DirectJudge(PointwiseJudge[DirectOptions]):
    """Σ i·P(i) over the grades (arXiv:2309.00267, section 3.3), as a score from 0 to 1."""

    Options = DirectOptions
    code = "1"
    transport = TRANSPORT

    def fixed_text(self) -> str:
        return TEMPLATE

    def check(self) -> None:
        self._model.check()

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        return self._model.workload(TEMPLATE_TOKENS + prompt_tokens + 2 * answer_tokens)

    def score(self, answers: Sequence[Answer]) -> list[Opinion]:
        questions = [self.question(answer) for answer in answers]
        grades = [str(grade) for grade in range(1, self.options.highest + 1)]
        return [read(choice) for choice in self._model.choose(questions, grades)]

    def question(self, answer: Answer) -> str:
        return fenced(
            TEMPLATE,
            answer.prompt,
            self.options.shows_reference,
            answer=answer.text,
            highest=str(self.options.highest),
        )

    @cached_property
    def _model(self) -> LanguageModel:
        return LanguageModel(self.options)


def read(choice: Choice) -> Opinion:
    """The expected grade, scaled so that the lowest is 0 and the highest 1."""
    if choice.probabilities is None:
        return choice.record
    expected = sum(int(grade) * share for grade, share in choice.probabilities.items())
    return choice.as_opinion(scored((expected - 1) / (len(choice.probabilities) - 1)))


JUDGE = DirectJudge
