"""A Python function of your own scores answers: `function: my_rewards:score`."""

from collections.abc import Sequence

from judges.functions.judge import (
    EXAMPLE,
    PROMPT_FACTS,
    Facts,
    FunctionJudge,
    FunctionOptions,
    prompt_facts,
)
from judges.panel.judge import Answer, Opinion, PointwiseJudge, scored


class ScoringFunctionJudge(FunctionJudge, PointwiseJudge[FunctionOptions]):
    """The function takes what it needs by name, and returns a score from 0 to 1.

    Its parameters are among `answer`, `is_finished` (False if the answer was cut off), `prompt`,
    `messages` (the prompt as a chat), `context`, `references` and `mode`.
    """

    Options = FunctionOptions
    code = "1"
    facts = ("answer", "is_finished", *PROMPT_FACTS)

    def score(self, answers: Sequence[Answer]) -> list[Opinion]:
        return self.opinions([_facts(answer) for answer in answers], scored)

    def example_facts(self) -> Facts:
        return _facts(Answer(EXAMPLE, "It is 4."))


def _facts(answer: Answer) -> Facts:
    return {
        **prompt_facts(answer.prompt),
        "answer": answer.text,
        "is_finished": answer.is_finished,
    }


JUDGE = ScoringFunctionJudge
