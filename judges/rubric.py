"""A language model grades each answer aspect by aspect, by a file or the prompt's own rubric."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, model_validator

from judges.language_model.assets import read_yaml
from judges.language_model.choice import Choice
from judges.language_model.fence import FencedPrompt, fill_for_prompt, load_template
from judges.language_model.model import LanguageModelJudge, LanguageModelOptions
from judges.panel.judge import (
    Answer,
    Opinion,
    PointwiseJudge,
    Workload,
    abstains,
    scored,
    with_costs,
)
from rlhf_core.config import Settings
from rlhf_core.evaluation.aspects import Flag, Grade, Reading, Unread, readings_to_json
from rlhf_core.records import Outcome
from rlhf_core.records.rubric import Criterion, rubric_from_json

TEMPLATE_TOKENS = 120
TEMPLATE = load_template("rubric")
YES, NO = "Yes", "No"
OF_PROMPT = "prompt"
"""Name of the rubric whose criteria belong to each prompt."""
CRITERION = 'Does the answer meet this criterion: "{criterion}"?'
EXPECTED_CRITERIA = 8
"""Criteria of a prompt, for the plan; published rubrics have 7 to 12 (arXiv:2507.17746)."""


def expected_grade(probabilities: Mapping[str, float]) -> float:
    """Return the mean of the grades, weighted by their probabilities."""
    return sum(int(grade) * share for grade, share in probabilities.items())


class Aspect(Settings):
    """One question: a Likert scale from 1 to `highest`, or a flag whose `best` answer is given."""

    name: str
    """The name under which it is stored."""
    question: str
    """The question to the model, once for each answer."""
    highest: Annotated[int, Field(ge=2, le=9)] | None = None
    """The highest grade of a scale. A grade has one digit, so that none begins another."""
    best: Literal["Yes", "No"] | None = None
    """The better answer of a flag."""
    weight: Annotated[float, Field(ge=0.0)] = 1.0
    """Its weight in the score; 0 only records it."""
    needs_context: bool = False
    """Apply it only if the request contains a given text."""

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
        """Return the expected value, from 0 (worst) to 1 (best)."""
        if self.highest is None:
            return probabilities[str(self.best)]
        return (expected_grade(probabilities) - 1) / (self.highest - 1)

    def reading(self, choice: Choice) -> Reading:
        """Return what was read of the aspect, in its own unit, or why nothing was."""
        if choice.probabilities is None:
            return Unread(unread=choice.record.reason or "", is_scale=self.highest is not None)
        if self.highest is None:
            return Flag(yes=round(choice.probabilities[YES], 4))
        grade = round(expected_grade(choice.probabilities), 4)
        return Grade(grade=grade, highest=self.highest)


class Rubric(Settings):
    aspects: Annotated[tuple[Aspect, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _something_counts(self) -> "Rubric":
        if not any(aspect.weight > 0 for aspect in self.aspects):
            raise ValueError("every weight is 0, so no answer could be scored; raise one")
        return self


class RubricOptions(LanguageModelOptions):
    rubric: str = "instructgpt"
    """A rubric that Solon ships, the path of a .yaml file in the same format, or `prompt` for the
    criteria that each prompt has in the column `rubric`."""
    shows_reference: bool = True
    """Show the model the reference answer, if there is one."""


class RubricJudge(LanguageModelJudge[RubricOptions], PointwiseJudge[RubricOptions]):
    """Scores the weighted mean of the aspects' expected values; if one is unread, there is none.

    By a prompt's own rubric, an answer's score is the points of the criteria that it meets, as a
    share of the points above 0 (arXiv:2505.08775, section 3).
    """

    Options = RubricOptions
    code = "2"

    def fixed_prompts(self) -> str:
        rubric = CRITERION if self._is_of_prompt else self._rubric.model_dump_json()
        return f"{TEMPLATE}\n{rubric}"

    def choices(self) -> Iterable[Sequence[str]]:
        if self._is_of_prompt:
            return ((YES, NO),)
        return {aspect.labels for aspect in self._rubric.aspects}

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        calls = EXPECTED_CRITERIA if self._is_of_prompt else len(self._rubric.aspects)
        tokens = calls * (TEMPLATE_TOKENS + prompt_tokens + 2 * answer_tokens)
        return self._model.workload(tokens, calls)

    def score(self, answers: Sequence[Answer]) -> list[Opinion]:
        if self._is_of_prompt:
            return self._score_by_criteria(answers)
        by_answer: list[dict[str, Choice]] = [{} for _ in answers]
        for aspect in self._rubric.aspects:
            places = [p for p, answer in enumerate(answers) if applies(aspect, answer)]
            questions = [self.question(answers[place], aspect) for place in places]
            choices = self._model.choose(questions, aspect.labels)
            for place, choice in zip(places, choices, strict=True):
                by_answer[place][aspect.name] = choice
        return [read(self._rubric, choices) for choices in by_answer]

    def _score_by_criteria(self, answers: Sequence[Answer]) -> list[Opinion]:
        rubrics = [rubric_from_json(answer.prompt.rubric) for answer in answers]
        questions = [
            self.question(answer, Aspect(name=one.text, question=asked(one), best=YES))
            for answer, criteria in zip(answers, rubrics, strict=True)
            for one in criteria
        ]
        choices = iter(self._model.choose(questions, (YES, NO)))
        return [read_criteria({one: next(choices) for one in criteria}) for criteria in rubrics]

    @property
    def _is_of_prompt(self) -> bool:
        return self.options.rubric == OF_PROMPT

    def question(self, answer: Answer, aspect: Aspect) -> FencedPrompt:
        return fill_for_prompt(
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


def asked(criterion: Criterion) -> str:
    """Return the question whether an answer meets a criterion."""
    return CRITERION.format(criterion=criterion.text)


def read_criteria(choices: Mapping[Criterion, Choice]) -> Opinion:
    """Return the opinion on one answer from the choices for the criteria of its prompt."""
    if not choices:
        return abstains("the prompt has no rubric of its own")
    records = [choice.record for choice in choices.values()]
    met: dict[Criterion, float] = {}
    for criterion, choice in choices.items():
        if choice.probabilities is None:
            failed = choice.record
            opinion = Opinion(failed.outcome, reason=f"{criterion.text}: {failed.reason}")
            return with_costs(opinion, records)
        met[criterion] = choice.probabilities[YES]
    attainable = sum(one.points for one in met if one.points > 0)
    score = sum(one.points * share for one, share in met.items()) / attainable
    made_of = json.dumps({one.text: round(share, 4) for one, share in met.items()})
    return with_costs(scored(score, made_of), records)


def applies(aspect: Aspect, answer: Answer) -> bool:
    return answer.prompt.context is not None or not aspect.needs_context


def read(rubric: Rubric, choices: Mapping[str, Choice]) -> Opinion:
    """Return the opinion on one answer from the choices for its aspects.

    The raw output holds what was read of each aspect, also if another could not be read.
    """
    records = [choice.record for choice in choices.values()]
    aspects = {one.name: one for one in rubric.aspects if one.name in choices}
    made_of = readings_to_json({name: aspects[name].reading(choices[name]) for name in choices})
    values: dict[str, float] = {}
    for name, choice in choices.items():
        if choice.probabilities is None:
            failed = choice.record
            reason = f"{name}: {failed.reason}"
            opinion = Opinion(failed.outcome, raw_output=made_of, reason=reason)
            return with_costs(opinion, records)
        values[name] = aspects[name].value(choice.probabilities)
    total = sum(one.weight for one in aspects.values())
    if total == 0:
        reason = "no aspect that counts applies"
        opinion = Opinion(Outcome.ABSTAINS, raw_output=made_of, reason=reason)
        return with_costs(opinion, records)
    score = sum(aspects[name].weight * value for name, value in values.items()) / total
    return with_costs(scored(score, made_of), records)


JUDGE = RubricJudge
