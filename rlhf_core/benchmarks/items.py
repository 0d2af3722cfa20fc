"""Items of a benchmark that a model's log-probabilities answer, and their measurement."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from transformers import PreTrainedTokenizerBase

from rlhf_core.models.sequences import TokenSequence

ITEMS_A_CALL = 32
"""Items measured together. Sequences with the same prompt share a row, which must stay short."""

LogProbs = Callable[[Sequence[TokenSequence]], Sequence[float]]
"""Returns Σ log p over the response of each sequence, in nats."""


@dataclass(frozen=True)
class ItemResult:
    """A model's result on one item of a benchmark, by one metric."""

    item: str
    part: str
    cluster: str
    metric: str
    value: float


class Item(Protocol):
    """One item of a benchmark: the texts that a model reads, and what their probabilities mean."""

    @property
    def name(self) -> str:
        """Its name in the benchmark, which no other item has."""

    @property
    def part(self) -> str:
        """The part of the benchmark that it belongs to, such as a kind of bias."""

    @property
    def cluster(self) -> str:
        """Items with the same cluster are not independent of each other."""

    def sequences(self, tokenizer: PreTrainedTokenizerBase) -> list[TokenSequence]:
        """Return the texts as tokens."""

    def values(self, logprobs: Sequence[float]) -> Mapping[str, float]:
        """Return the value of each metric that the item counts for, given the log-probabilities."""


def measure(
    items: Sequence[Item], tokenizer: PreTrainedTokenizerBase, logprobs: LogProbs
) -> Iterator[ItemResult]:
    """Yield the value of each item by each metric that it counts for, in the order of the items.

    Args:
        items: The items.
        tokenizer: The model's tokenizer.
        logprobs: Reads sequences with the model.
    """
    for start in range(0, len(items), ITEMS_A_CALL):
        group = items[start : start + ITEMS_A_CALL]
        texts = [item.sequences(tokenizer) for item in group]
        found = iter(logprobs([sequence for each in texts for sequence in each]))
        for item, each in zip(group, texts, strict=True):
            for metric, value in item.values([next(found) for _ in each]).items():
                yield ItemResult(item.name, item.part, item.cluster, metric, value)
