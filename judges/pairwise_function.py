"""A Python function of your own compares two answers: `function: my_rewards:prefer`."""

from collections.abc import Sequence

from judges.functions.judge import (
    EXAMPLE,
    PROMPT_FACTS,
    Facts,
    FunctionJudge,
    FunctionOptions,
    prompt_facts,
)
from judges.panel.judge import Contest, Opinion, PairwiseJudge, verdict


class PairwiseFunctionJudge(FunctionJudge, PairwiseJudge[FunctionOptions]):
    """The function returns the probability that the first answer is better; 0.5 is a tie.

    Its parameters are among `first`, `second`, `prompt`, `messages` (the prompt as a chat),
    `context`, `references` and `mode`. It sees each pair in both orders.
    """

    Options = FunctionOptions
    code = "1"
    facts = ("first", "second", *PROMPT_FACTS)

    def compare(self, contests: Sequence[Contest]) -> list[Opinion]:
        return self.opinions([_facts(contest) for contest in contests], verdict)

    def example_facts(self) -> Facts:
        return _facts(Contest(EXAMPLE, "It is 4.", "It is 5."))


def _facts(contest: Contest) -> Facts:
    return {**prompt_facts(contest.prompt), "first": contest.first, "second": contest.second}


JUDGE = PairwiseFunctionJudge
