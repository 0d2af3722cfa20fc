"""A labelled pair, a labelled text, and a set of either."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from rlhf_core.identity import content_id, unit_interval
from rlhf_core.records import Prompt

TIE = 0.5


@dataclass(frozen=True)
class LabelledPair:
    """Two answers to a prompt, and the probability that the first is better: 1, 0 or between."""

    prompt: Prompt
    first: str
    second: str
    target: float
    subset: str = ""

    @cached_property
    def id(self) -> str:
        """The same for either order and whatever the label."""
        return content_id("labelled pair", self.prompt.id, *sorted((self.first, self.second)))

    @property
    def texts(self) -> tuple[str, str]:
        return self.first, self.second

    def in_drawn_order(self) -> "LabelledPair":
        """The same pair in the order that a hash of it draws, so that no label shows in it."""
        is_sorted = self.first <= self.second
        if is_sorted == (unit_interval("order", self.id) < 0.5):
            return self
        return replace(self, first=self.second, second=self.first, target=1 - self.target)


@dataclass(frozen=True)
class LabelledText:
    """One answer to a prompt; the target is 0 or 1, or a score on any scale, higher is better."""

    prompt: Prompt
    answer: str
    target: float
    subset: str = ""

    @cached_property
    def id(self) -> str:
        return content_id("labelled text", self.prompt.id, self.answer)

    @property
    def texts(self) -> tuple[str]:
        return (self.answer,)


Entry = TypeVar("Entry", LabelledPair, LabelledText)


@dataclass(frozen=True)
class LabelledSet:
    """What one file holds: pairs or texts, each once."""

    name: str
    pairs: tuple[LabelledPair, ...] = ()
    texts: tuple[LabelledText, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    """How many rows cannot be judged, by the reason."""

    def __len__(self) -> int:
        return len(self.pairs) + len(self.texts)

    @cached_property
    def hash(self) -> str:
        """Of the questions and their labels: figures of two runs compare only if it is the same."""
        pairs = [(pair.id, pair.in_drawn_order().target) for pair in self.pairs]
        texts = [(text.id, text.target) for text in self.texts]
        return content_id("labelled set", sorted(pairs), sorted(texts))

    def sample(self, limit: int | None) -> "LabelledSet":
        """So many of it, drawn by their hashes: always the same, however the file is sorted.

        Entries of one prompt stand together, so that what a judge reads of it is read once.
        """
        if limit is None or len(self) <= limit:
            return self
        return replace(self, pairs=_drawn(self.pairs, limit), texts=_drawn(self.texts, limit))


def _drawn(entries: Sequence[Entry], limit: int) -> tuple[Entry, ...]:
    chosen = sorted(entries, key=lambda entry: unit_interval("sample", entry.id))[:limit]
    return tuple(sorted(chosen, key=lambda entry: (entry.prompt.id, entry.id)))
