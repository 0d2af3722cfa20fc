"""What another panel would have made of the same judgements, pair by pair."""

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
    """What becomes of a pair. Only preferred pairs are trained on; all but the last change them."""

    FLIPPED = "flipped"
    """Chosen and rejected swap."""
    BECAME_TIE = "became_tie"
    BECAME_UNSCORED = "became_unscored"
    APPEARED = "appeared"
    """It was a tie or unscored, and becomes preferred."""
    NONE = "none"


class PairChange(NamedTuple):
    """One pair before and after; None where its prompt has no ranking."""

    before: Preference | None
    after: Preference | None

    @property
    def pair(self) -> Preference:
        found = self.before or self.after
        assert found is not None, "a pair is there before or after"
        return found

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
        """How far the preference moves: from margin to margin across 0."""
        margins = (pair.margin or 0.0 for pair in (self.before, self.after) if pair)
        return math.fsum(margins)


def _outcome(pair: Preference | None) -> PairOutcome:
    return pair.outcome if pair else PairOutcome.UNSCORED


def pair_changes(before: Sequence[Preference], after: Sequence[Preference]) -> Iterable[PairChange]:
    """Every two candidates of one group; a side is empty where nothing could be ranked."""
    nothing = [None] * max(len(before), len(after))
    return map(PairChange, before or nothing, after or nothing)


def _numbers() -> "array[float]":
    return array("d")


@dataclass
class Tally:
    """Counts changes as they come: of each pair a few numbers stay in memory."""

    kinds: dict[Change, int] = field(default_factory=lambda: dict.fromkeys(Change, 0))
    margins_before: "array[float]" = field(default_factory=_numbers)
    margins_after: "array[float]" = field(default_factory=_numbers)
    sides: "array[float]" = field(default_factory=_numbers)
    prompts: list[str] = field(default_factory=list)

    def add(self, change: PairChange, prompt_id: str) -> Change:
        """Count it; what it is."""
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

    def comparison(self) -> "Comparison":
        unchanged = self.kinds[Change.NONE]
        pairs = sum(self.kinds.values())
        return Comparison(
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
class Comparison:
    """Two panels on the same candidates."""

    pairs: int
    preferred_before: int
    """Training pairs as they are."""
    preferred_after: int
    changed: int
    """Training pairs that flip, go or come."""
    flipped: int
    became_tie: int
    became_unscored: int
    appeared: int
    mean_margin_before: float | None
    """Of the preferred pairs; None where there are none."""
    mean_margin_after: float | None
    agreement: Share | None
    """Among pairs preferred by both, how many have the same chosen answer; prompts are clusters."""


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
