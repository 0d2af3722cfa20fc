"""A language model compares two answers by a principle drawn from a constitution."""

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Annotated

from pydantic import Field, model_validator

from judges.language_model.choice import Choice, ModelReply
from judges.language_model.fence import FencedPrompt, fill_for_prompt, load_template
from judges.language_model.model import LanguageModelJudge, LanguageModelOptions
from judges.language_model.principles import (
    Constitution,
    Principle,
    WorkedComparison,
    read_constitution,
)
from judges.panel.judge import Contest, Opinion, PairwiseJudge, Workload, verdict, with_costs
from rlhf_core.config.base import PositiveInt

FIRST, SECOND, TIE = "A", "B", "TIE"
TEMPLATE_TOKENS = 150
EXAMPLE_TOKENS = 130
TEMPLATE = load_template("constitution")
EXAMPLE = load_template("constitution_example")
VERDICT = "Which answer is better by this principle? Reply with one letter: A or B."
THINK = (
    "Think step by step about which answer is better by this principle, in a few sentences, "
    "without naming your choice yet."
)
CONCLUDE = "[{nonce} your reasoning]\n{reasoning}\n[{nonce} end]\n\n" + VERDICT


class ConstitutionOptions(LanguageModelOptions):
    constitution: str = "default"
    """A constitution that Solon ships, or the path of a .yaml file in the same format."""
    few_shots: Annotated[int, Field(ge=0)] = 4
    """Number of the constitution's worked comparisons shown first."""
    chain_of_thought: bool = False
    """Let the model reason before it decides. Its verdicts are then overconfident: see clamp."""
    reasoning_tokens: PositiveInt = 200
    """Most tokens of that reasoning."""
    clamp: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.4
    """Least probability with chain of thought, or `verdict: json`; the greatest is 1 minus this."""
    shows_reference: bool = True
    """Show the model the reference answer, if there is one."""

    @model_validator(mode="after")
    def _reasons_once(self) -> "ConstitutionOptions":
        if self.chain_of_thought and self.verdict == "json":
            raise ValueError("verdict: json asks for reasons already; leave out chain_of_thought")
        return self


class ConstitutionJudge(
    LanguageModelJudge[ConstitutionOptions], PairwiseJudge[ConstitutionOptions]
):
    """Soft labels, with one principle for each comparison (arXiv:2212.08073, section 4.1).

    The principle is drawn by a hash of the prompt and the two answers, so both orders, and every
    rerun, are judged by the same one.
    """

    Options = ConstitutionOptions
    code = "1"

    def fixed_prompts(self) -> str:
        texts = (TEMPLATE, EXAMPLE, VERDICT, THINK, CONCLUDE)
        return "\n".join([*texts, self._constitution.model_dump_json()])

    def choices(self) -> Iterable[Sequence[str]]:
        return ((FIRST, SECOND),)

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        examples = min(self.options.few_shots, len(self._constitution.few_shots))
        tokens = TEMPLATE_TOKENS + EXAMPLE_TOKENS * examples + prompt_tokens + 3 * answer_tokens
        if not self.options.chain_of_thought:
            return self._model.workload(tokens)
        reasoning = self.options.reasoning_tokens
        return self._model.workload(2 * tokens + reasoning, written=reasoning)

    def compare(self, contests: Sequence[Contest]) -> list[Opinion]:
        if not self.options.chain_of_thought:
            questions = [self.question(contest, VERDICT) for contest in contests]
            choices = self._choose(questions)
            clamp = self.options.clamp if self.options.verdict == "json" else 0.0
            return [
                self._opinion(contest, choice, clamp)
                for contest, choice in zip(contests, choices, strict=True)
            ]
        thoughts = self._model.write(
            [self.question(contest, THINK) for contest in contests], self.options.reasoning_tokens
        )
        questions = [
            self.question(contest, CONCLUDE, reasoning=thought.text or "")
            for contest, thought in zip(contests, thoughts, strict=True)
        ]
        choices = self._choose(questions)
        return [
            self._reasoned(contest, thought, choice)
            for contest, thought, choice in zip(contests, thoughts, choices, strict=True)
        ]

    def principle(self, contest: Contest) -> Principle:
        """Return the principle of this comparison, the same in both orders."""
        answers = sorted((contest.first, contest.second))
        return self._constitution.draw(contest.prompt.id, *answers)

    def question(self, contest: Contest, ending: str, **written: str) -> FencedPrompt:
        """Return the prompt of one comparison.

        Args:
            contest: The two answers.
            ending: The template's last part, which asks for a verdict or for reasoning.
            written: Further texts that the ending names.
        """
        shots = self._constitution.few_shots[: self.options.few_shots]
        return fill_for_prompt(
            f"{TEMPLATE}{ending}",
            contest.prompt,
            self.options.shows_reference,
            examples="".join(example(shot) for shot in shots),
            principle=self.principle(contest).prefer,
            first=contest.first,
            second=contest.second,
            **written,
        )

    @cached_property
    def _constitution(self) -> Constitution:
        return read_constitution(self.options.constitution)

    def _choose(self, questions: Sequence[FencedPrompt]) -> list[Choice]:
        return self._model.choose(questions, (FIRST, SECOND), tie=TIE)

    def _reasoned(self, contest: Contest, thought: ModelReply, choice: Choice) -> Opinion:
        record = thought.record()
        if thought.text is None:
            return record
        return with_costs(
            self._opinion(contest, choice, self.options.clamp), [record, choice.record]
        )

    def _opinion(self, contest: Contest, choice: Choice, clamp: float = 0.0) -> Opinion:
        if choice.probabilities is None:
            return choice.record
        probability = min(max(choice.probabilities[FIRST], clamp), 1 - clamp)
        made_of = {
            "principle": self.principle(contest).name,
            **choice.details(),
        }
        return choice.as_opinion(verdict(probability, json.dumps(made_of)))


def example(shot: WorkedComparison) -> str:
    """Return a worked comparison as text. It needs no secret marks: its texts are trusted."""
    answer = FIRST if shot.better == "first" else SECOND
    fields = shot.model_dump(exclude={"better"})
    return EXAMPLE.format(answer=answer, **fields)


JUDGE = ConstitutionJudge
