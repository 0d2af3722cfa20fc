"""A language model says which of two answers is better: local, or behind an endpoint."""

from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files

from judges._base import Contest, Opinion, PairwiseJudge, Workload, verdict
from judges._language_model import TRANSPORT, Choice, LanguageModel, LanguageModelOptions, fenced

FIRST, SECOND, TIE = "A", "B", "TIE"
TEMPLATE_TOKENS = 150
TEMPLATE = (files("judges") / "prompts" / "pairwise.txt").read_text(encoding="utf-8")


class PairwiseOptions(LanguageModelOptions):
    shows_reference: bool = True
    """Put the reference answer, where there is one, into the prompt."""


class LanguageModelJudge(PairwiseJudge[PairwiseOptions]):
    Options = PairwiseOptions
    code = "1"
    transport = TRANSPORT

    def fixed_text(self) -> str:
        return TEMPLATE

    def check(self) -> None:
        self._model.check()

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        return self._model.workload(TEMPLATE_TOKENS + prompt_tokens + 3 * answer_tokens)

    def compare(self, contests: Sequence[Contest]) -> list[Opinion]:
        questions = [self.question(contest) for contest in contests]
        return [read(c) for c in self._model.choose(questions, (FIRST, SECOND), ties=(TIE,))]

    def question(self, contest: Contest) -> str:
        return fenced(
            TEMPLATE,
            contest.prompt,
            self.options.shows_reference,
            first=contest.first,
            second=contest.second,
        )

    @cached_property
    def _model(self) -> LanguageModel:
        return LanguageModel(self.options)


def read(choice: Choice) -> Opinion:
    """The verdict of one contest."""
    if choice.probabilities is None:
        return choice.record
    return choice.as_opinion(verdict(choice.probabilities[FIRST]))


JUDGE = LanguageModelJudge
