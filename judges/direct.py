"""A language model grades each answer: the expected grade, by the probability of every grade."""

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field

from judges.language_model.choice import Choice
from judges.language_model.fence import Fenced, fenced, template
from judges.language_model.model import AsksLanguageModel, LanguageModelOptions
from judges.panel.judge import Answer, Opinion, PointwiseJudge, Workload, scored

TEMPLATE_TOKENS = 120
TEMPLATE = template("direct")


class DirectOptions(LanguageModelOptions):
    highest: Annotated[int, Field(ge=2, le=9)] = 9
    """Grades run from 1 to this; none has two digits, so that none begins like another."""
    shows_reference: bool = True
    """Put the reference answer, where there is one, into the prompt."""


class DirectJudge(AsksLanguageModel[DirectOptions], PointwiseJudge[DirectOptions]):
    """Σ i·P(i) over the grades (arXiv:2309.00267, section 3.3), as a score from 0 to 1."""

    Options = DirectOptions
    code = "2"

    def fixed_prompts(self) -> str:
        return TEMPLATE

    def choices(self) -> Iterable[Sequence[str]]:
        return (self._grades,)

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        return self._model.workload(TEMPLATE_TOKENS + prompt_tokens + 2 * answer_tokens)

    def score(self, answers: Sequence[Answer]) -> list[Opinion]:
        questions = [self.question(answer) for answer in answers]
        return [read(choice) for choice in self._model.choose(questions, self._grades)]

    @property
    def _grades(self) -> list[str]:
        return [str(grade) for grade in range(1, self.options.highest + 1)]

    def question(self, answer: Answer) -> Fenced:
        return fenced(
            TEMPLATE,
            answer.prompt,
            self.options.shows_reference,
            answer=answer.text,
            highest=str(self.options.highest),
        )


def read(choice: Choice) -> Opinion:
    """The expected grade, scaled so that the lowest is 0 and the highest 1."""
    if choice.probabilities is None:
        return choice.record
    expected = sum(int(grade) * share for grade, share in choice.probabilities.items())
    return choice.as_opinion(scored((expected - 1) / (len(choice.probabilities) - 1)))


JUDGE = DirectJudge
