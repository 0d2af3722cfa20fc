"""A language model examines each answer aspect by aspect; the rubric is a file of questions."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, model_validator

from judges.language_model.assets import read_yaml
from judges.language_model.choice import Choice
from judges.language_model.fence import Fenced, fenced, template
from judges.language_model.model import AsksLanguageModel, LanguageModelOptions
from judges.panel.judge import Answer, Opinion, PointwiseJudge, Workload, scored, with_costs
from rlhf_core.config import Settings
from rlhf_core.records import Outcome

TEMPLATE_TOKENS = 120
TEMPLATE = template("rubric")
YES, NO = "Yes", "No"


class Aspect(Settings):
    """One question: a Likert scale from 1 to `highest`, or a flag whose `best` answer is given."""

    name: str
    """Under this it is stored."""
    question: str
    """Put to the model, once for each answer."""
    highest: Annotated[int, Field(ge=2, le=9)] | None = None
    """Of a scale; no grade has two digits, so that none begins like another."""
    best: Literal["Yes", "No"] | None = None
    """Of a flag."""
    weight: Annotated[float, Field(ge=0.0)] = 1.0
    """Its share in the score; 0 only records it."""
    needs_context: bool = False
    """Ask it only where the request holds a given text."""

    @model_validator(mode="after")
    def _is_scale_or_flag(self) -> "Aspect":
        if (self.highest is None) == (self.best is None):
            raise ValueError(f"aspect {self.name!r} needs either `highest` or `best`")
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        if self.highest is None:
            return (YES, NO)
        return tuple(str(grade) for grade in range(1, self.highest + 1))

    @property
    def reply_with(self) -> str:
        return "Reply with one word: Yes or No." if self.best else "Reply with one digit."

    def value(self, probabilities: Mapping[str, float]) -> float:
        """Expected value from 0, worst, to 1, best."""
        if self.highest is None:
            return probabilities[str(self.best)]
        expected = sum(int(grade) * share for grade, share in probabilities.items())
        return (expected - 1) / (self.highest - 1)


class Rubric(Settings):
    aspects: Annotated[tuple[Aspect, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _something_counts(self) -> "Rubric":
        if not any(aspect.weight > 0 for aspect in self.aspects):
            raise ValueError("every weight is 0, so no answer could be scored; raise one")
        return self


class RubricOptions(LanguageModelOptions):
    rubric: str = "instructgpt"
    """A rubric that Solon ships, or the path of a .yaml file like it."""
    shows_reference: bool = True
    """Put the reference answer, where there is one, into the prompt."""


class RubricJudge(AsksLanguageModel[RubricOptions], PointwiseJudge[RubricOptions]):
    """Weighted mean of the aspects' expected values; one that cannot be read spoils the score."""

    Options = RubricOptions
    code = "1"

    def fixed_prompts(self) -> str:
        return f"{TEMPLATE}\n{self._rubric.model_dump_json()}"

    def choices(self) -> Iterable[Sequence[str]]:
        return {aspect.labels for aspect in self._rubric.aspects}

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        calls = len(self._rubric.aspects)
        tokens = calls * (TEMPLATE_TOKENS + prompt_tokens + 2 * answer_tokens)
        return self._model.workload(tokens, calls)

    def score(self, answers: Sequence[Answer]) -> list[Opinion]:
        found: list[dict[str, Choice]] = [{} for _ in answers]
        for aspect in self._rubric.aspects:
            places = [p for p, answer in enumerate(answers) if applies(aspect, answer)]
            questions = [self.question(answers[place], aspect) for place in places]
            choices = self._model.choose(questions, aspect.labels)
            for place, choice in zip(places, choices, strict=True):
                found[place][aspect.name] = choice
        return [read(self._rubric, choices) for choices in found]

    def question(self, answer: Answer, aspect: Aspect) -> Fenced:
        return fenced(
            TEMPLATE,
            answer.prompt,
            self.options.shows_reference,
            answer=answer.text,
            question=aspect.question,
            reply_with=aspect.reply_with,
        )

    @cached_property
    def _rubric(self) -> Rubric:
        return read_yaml(Rubric, "rubrics", self.options.rubric)


def applies(aspect: Aspect, answer: Answer) -> bool:
    return answer.prompt.context is not None or not aspect.needs_context


def read(rubric: Rubric, choices: Mapping[str, Choice]) -> Opinion:
    """The score of one answer from its aspects."""
    records = [choice.record for choice in choices.values()]
    values: dict[str, float] = {}
    for name, choice in choices.items():
        if choice.probabilities is None:
            failed = choice.record
            opinion = Opinion(failed.outcome, reason=f"{name}: {failed.reason}")
            return with_costs(opinion, records)
        (aspect,) = (one for one in rubric.aspects if one.name == name)
        values[name] = aspect.value(choice.probabilities)
    weights = {one.name: one.weight for one in rubric.aspects if one.name in values}
    total = sum(weights.values())
    if total == 0:
        return with_costs(
            Opinion(Outcome.ABSTAINS, reason="no aspect that counts applies"), records
        )
    score = sum(weights[name] * value for name, value in values.items()) / total
    made_of = json.dumps({name: round(value, 4) for name, value in values.items()})
    return with_costs(scored(score, made_of), records)


JUDGE = RubricJudge
