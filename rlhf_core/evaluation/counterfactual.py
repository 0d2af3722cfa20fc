"""Comparison of two panels of judges on the same judgements, pair by pair."""

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from rlhf_core.evaluation.shares import Share, share
from rlhf_core.preferences.ranking import Preference
from rlhf_core.records import PairOutcome


class Change(StrEnum):
    """Change of a pair. Training uses preferred pairs; all values but the last change them."""

    FLIPPED = "flipped"
    """Chosen and rejected swap."""
    BECAME_TIE = "became_tie"
    BECAME_UNSCORED = "became_unscored"
    APPEARED = "appeared"
    """The pair was tied or unscored, and becomes preferred."""
    NONE = "none"


class PairChange(NamedTuple):
    """One pair before and after the change; None if its prompt has no ranking."""

    before: Preference | None
    after: Preference | None

    @property
    def pair(self) -> Preference:
        pair = self.before or self.after
        assert pair is not None, "a pair is there before or after"
        return pair

    @property
    def kind(self) -> Change:
        was, becomes = _outcome(self.before), _outcome(self.after)
        if was is not PairOutcome.PREFERRED:
            return Change.APPEARED if becomes is PairOutcome.PREFERRED else Change.NONE
        if becomes is PairOutcome.TIE:
            return Change.BECAME_TIE
        if becomes is PairOutcome.UNSCORED:
            return Change.BECAME_UNSCORED
        is_same = self.before and self.after and self.before.chosen_id == self.after.chosen_id
        return Change.NONE if is_same else Change.FLIPPED

    @property
    def size(self) -> float:
        """Distance that the preference moves: from one margin to the other across 0."""
        margins = (pair.margin or 0.0 for pair in (self.before, self.after) if pair)
        return math.fsum(margins)


def _outcome(pair: Preference | None) -> PairOutcome:
    return pair.outcome if pair else PairOutcome.UNSCORED


def pair_changes(before: Sequence[Preference], after: Sequence[Preference]) -> Iterable[PairChange]:
    """Yield the change of every two candidates of one group.

    Either side is empty if nothing could be ranked.
    """
    nothing = [None] * max(len(before), len(after))
    return map(PairChange, before or nothing, after or nothing)


def _numbers() -> "array[float]":
    return array("d")


@dataclass
class Tally:
    """Running counts of changes; only a few numbers a pair stay in memory."""

    kinds: dict[Change, int] = field(default_factory=lambda: dict.fromkeys(Change, 0))
    margins_before: "array[float]" = field(default_factory=_numbers)
    margins_after: "array[float]" = field(default_factory=_numbers)
    sides: "array[float]" = field(default_factory=_numbers)
    prompts: list[str] = field(default_factory=list)

    def add(self, change: PairChange, prompt_id: str) -> Change:
        """Count a change and return its kind."""
        kind = change.kind
        self.kinds[kind] += 1
        for pair, margins in (
            (change.before, self.margins_before),
            (change.after, self.margins_after),
        ):
            if pair and pair.outcome is PairOutcome.PREFERRED:
                margins.append(pair.margin or 0.0)
        if _outcome(change.before) is _outcome(change.after) is PairOutcome.PREFERRED:
            self.sides.append(float(kind is Change.NONE))
            self.prompts.append(prompt_id)
        return kind

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            {kind: count + other.kinds[kind] for kind, count in self.kinds.items()},
            self.margins_before + other.margins_before,
            self.margins_after + other.margins_after,
            self.sides + other.sides,
            self.prompts + other.prompts,
        )

    def comparison(self) -> "PanelComparison":
        unchanged = self.kinds[Change.NONE]
        pairs = sum(self.kinds.values())
        return PanelComparison(
            pairs=pairs,
            preferred_before=len(self.margins_before),
            preferred_after=len(self.margins_after),
            changed=pairs - unchanged,
            flipped=self.kinds[Change.FLIPPED],
            became_tie=self.kinds[Change.BECAME_TIE],
            became_unscored=self.kinds[Change.BECAME_UNSCORED],
            appeared=self.kinds[Change.APPEARED],
            mean_margin_before=_mean(self.margins_before),
            mean_margin_after=_mean(self.margins_after),
            agreement=share(self.sides, self.prompts),
        )


@dataclass(frozen=True)
class PanelComparison:
    """Differences between two panels on the same candidates."""

    pairs: int
    preferred_before: int
    """Number of current training pairs."""
    preferred_after: int
    changed: int
    """Number of training pairs that flip, disappear or appear."""
    flipped: int
    became_tie: int
    became_unscored: int
    appeared: int
    mean_margin_before: float | None
    """Mean margin of the preferred pairs; None if there are none."""
    mean_margin_after: float | None
    agreement: Share | None
    """Share with the same chosen answer, of the pairs that both prefer; clustered by prompt."""


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
