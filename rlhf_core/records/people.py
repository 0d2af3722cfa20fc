"""Verdicts of people: spot checks of the judges' decisions."""

from enum import StrEnum
from typing import Any, ClassVar

from rlhf_core.records.base import Record


class HumanVerdict(StrEnum):
    """A person's choice between two answers."""

    LEFT = "left"
    RIGHT = "right"
    TIE = "tie"
    UNSURE = "unsure"


class Strategy(StrEnum):
    """Reason why a pair was shown to a person."""

    DISAGREEMENT = "disagreement"
    LOW_MARGIN = "low_margin"
    HIGH_WEIGHT = "high_weight"
    RANDOM = "random"


class SpotCheck(Record):
    """One person's verdict on one pair, blind to the judges. No training reads it.

    `verdict` refers to `left_id` and `right_id` of the pair; `shown_left` is the answer that was
    shown on the left. A changed verdict is a row of a higher round.
    """

    table: ClassVar[str] = "spot_checks"
    pair_id: str
    prompt_id: str
    left_id: str
    right_id: str
    person: str
    verdict: HumanVerdict
    note: str | None = None
    strategy: Strategy
    shown_left: str
    seconds: float
    round: int

    def identity(self) -> tuple[Any, ...]:
        # The verdict is included, so two screens of one person that answer at once make two rows.
        return (self.left_id, self.right_id, self.person, self.round, self.verdict, self.note)
