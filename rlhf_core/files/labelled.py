"""Labelled pairs, labelled texts, and sets of either."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from rlhf_core.identity import content_id, unit_interval
from rlhf_core.records import Prompt

TIE = 0.5


@dataclass(frozen=True)
class LabelledPair:
    """Two answers to a prompt, and the probability that the first is better, 0 to 1."""

    prompt: Prompt
    first: str
    second: str
    target: float
    subset: str = ""

    @cached_property
    def id(self) -> str:
        """Id of the pair, whatever its order and label."""
        return content_id("labelled pair", self.prompt.id, *sorted((self.first, self.second)))

    @property
    def texts(self) -> tuple[str, str]:
        return self.first, self.second

    def in_drawn_order(self) -> "LabelledPair":
        """Return the pair in the order that its hash draws, so the order reveals no label."""
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
    """The labelled pairs or texts of one file, without repetitions."""

    name: str
    pairs: tuple[LabelledPair, ...] = ()
    texts: tuple[LabelledText, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Number of rows that cannot be judged, by reason."""

    def __len__(self) -> int:
        return len(self.pairs) + len(self.texts)

    @cached_property
    def hash(self) -> str:
        """Hash of questions and labels; figures of two runs are comparable only if it is equal."""
        pairs = [(pair.id, pair.in_drawn_order().target) for pair in self.pairs]
        texts = [(text.id, text.target) for text in self.texts]
        return content_id("labelled set", sorted(pairs), sorted(texts))

    def sample(self, limit: int | None) -> "LabelledSet":
        """Return at most `limit` entries, drawn by their hashes: the file's order has no influence.

        Entries of one prompt are adjacent, so that a judge reads the prompt once.
        """
        if limit is None or len(self) <= limit:
            return self
        return replace(self, pairs=_drawn(self.pairs, limit), texts=_drawn(self.texts, limit))


def _drawn(entries: Sequence[Entry], limit: int) -> tuple[Entry, ...]:
    chosen = sorted(entries, key=lambda entry: unit_interval("sample", entry.id))[:limit]
    return tuple(sorted(chosen, key=lambda entry: (entry.prompt.id, entry.id)))
