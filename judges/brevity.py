"""The free baseline: shorter is better. It shows what length alone explains of another judge."""

from collections.abc import Sequence

from judges.panel.judge import Answer, Opinion, PointwiseJudge, abstains, scored
from rlhf_core.config import Settings
from rlhf_core.config.base import PositiveInt


class BrevityOptions(Settings):
    typical_words: PositiveInt = 16
    """An answer of this many words scores one half."""


class BrevityJudge(PointwiseJudge[BrevityOptions]):
    Options = BrevityOptions
    code = "1"

    def score(self, answers: Sequence[Answer]) -> list[Opinion]:
        return [self._score(answer.text) for answer in answers]

    def _score(self, text: str) -> Opinion:
        words = len(text.split())
        if words == 0:
            return abstains("the answer is empty")
        return scored(1 / (1 + words / self.options.typical_words))


JUDGE = BrevityJudge
