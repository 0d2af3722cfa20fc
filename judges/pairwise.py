"""A language model, local or at an endpoint, says which of two answers is better."""

from collections.abc import Iterable, Sequence

from judges.language_model.choice import Choice
from judges.language_model.fence import FencedPrompt, fill_for_prompt, load_template
from judges.language_model.model import LanguageModelJudge, LanguageModelOptions
from judges.panel.judge import Contest, Opinion, PairwiseJudge, Workload, verdict

FIRST, SECOND, TIE = "A", "B", "TIE"
TEMPLATE_TOKENS = 150
TEMPLATE = load_template("pairwise")


class PairwiseOptions(LanguageModelOptions):
    shows_reference: bool = True
    """Show the model the reference answer, if there is one."""


class PairwiseModelJudge(LanguageModelJudge[PairwiseOptions], PairwiseJudge[PairwiseOptions]):
    Options = PairwiseOptions
    code = "2"

    def fixed_prompts(self) -> str:
        return TEMPLATE

    def choices(self) -> Iterable[Sequence[str]]:
        return ((FIRST, SECOND),)

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        return self._model.workload(TEMPLATE_TOKENS + prompt_tokens + 3 * answer_tokens)

    def compare(self, contests: Sequence[Contest]) -> list[Opinion]:
        questions = [self.question(contest) for contest in contests]
        return [read(c) for c in self._model.choose(questions, (FIRST, SECOND), tie=TIE)]

    def question(self, contest: Contest) -> FencedPrompt:
        return fill_for_prompt(
            TEMPLATE,
            contest.prompt,
            self.options.shows_reference,
            first=contest.first,
            second=contest.second,
        )


def read(choice: Choice) -> Opinion:
    """Return the verdict on one contest."""
    if choice.probabilities is None:
        return choice.record
    return choice.as_opinion(verdict(choice.probabilities[FIRST]))


JUDGE = PairwiseModelJudge
