"""What another panel would have made of the same judgements, pair by pair."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from rlhf_core.evaluation.shares import Share, share
from rlhf_core.records import Pair, PairOutcome


class Change(StrEnum):
    """What becomes of a pair. Only preferred pairs are trained on; all but the last change them."""

    FLIPPED = "flipped"
    """Chosen and rejected swap."""
    BECAME_TIE = "became_tie"
    BECAME_UNSCORED = "became_unscored"
    APPEARED = "appeared"
    """It was a tie or unscored, and becomes preferred."""
    NONE = "none"


@dataclass(frozen=True)
class PairChange:
    """One pair before and after; None where its prompt has no ranking."""

    before: Pair | None
    after: Pair | None

    @property
    def pair(self) -> Pair:
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


def _outcome(pair: Pair | None) -> PairOutcome:
    return pair.outcome if pair else PairOutcome.UNSCORED


def pair_changes(before: Iterable[Pair], after: Iterable[Pair]) -> list[PairChange]:
    """Every pair that is there before or after, matched by its two candidates."""
    old = {(pair.left_id, pair.right_id): pair for pair in before}
    new = {(pair.left_id, pair.right_id): pair for pair in after}
    return [PairChange(old.get(key), new.get(key)) for key in {**old, **new}]


@dataclass
class Tally:
    """Counts changes as they come, so that nothing of a large store is kept in memory."""

    kinds: dict[Change, int] = field(default_factory=lambda: dict.fromkeys(Change, 0))
    margins_before: list[float] = field(default_factory=list)
    margins_after: list[float] = field(default_factory=list)
    sides: list[float] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)

    def add(self, change: PairChange) -> None:
        self.kinds[change.kind] += 1
        for pair, margins in (
            (change.before, self.margins_before),
            (change.after, self.margins_after),
        ):
            if pair and pair.outcome is PairOutcome.PREFERRED:
                margins.append(pair.margin or 0.0)
        if _outcome(change.before) is _outcome(change.after) is PairOutcome.PREFERRED:
            self.sides.append(float(change.kind is Change.NONE))
            self.prompts.append(change.pair.prompt_id)

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


def _mean(values: list[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
