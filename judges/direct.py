"""A language model grades each answer; the score is the expected grade over its probabilities."""

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field

from judges.language_model.choice import Choice
from judges.language_model.fence import FencedPrompt, fill_for_prompt, load_template
from judges.language_model.model import LanguageModelJudge, LanguageModelOptions
from judges.panel.judge import Answer, Opinion, PointwiseJudge, Workload, scored

TEMPLATE_TOKENS = 120
TEMPLATE = load_template("direct")


class DirectOptions(LanguageModelOptions):
    highest: Annotated[int, Field(ge=2, le=9)] = 9
    """The highest grade; grades run from 1. A grade has one digit, so that none begins another."""
    shows_reference: bool = True
    """Show the model the reference answer, if there is one."""


class DirectJudge(LanguageModelJudge[DirectOptions], PointwiseJudge[DirectOptions]):
    """Scores Σ i·P(i) over the grades (arXiv:2309.00267, section 3.3), scaled to 0 to 1."""

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

    def question(self, answer: Answer) -> FencedPrompt:
        return fill_for_prompt(
            TEMPLATE,
            answer.prompt,
            self.options.shows_reference,
            answer=answer.text,
            highest=str(self.options.highest),
        )


def read(choice: Choice) -> Opinion:
    """Return the expected grade, scaled so that the lowest is 0 and the highest 1."""
    if choice.probabilities is None:
        return choice.record
    expected = sum(int(grade) * share for grade, share in choice.probabilities.items())
    return choice.as_opinion(scored((expected - 1) / (len(choice.probabilities) - 1)))


JUDGE = DirectJudge
