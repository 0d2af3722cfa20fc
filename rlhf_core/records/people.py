"""What people said: spot checks of what judges decided."""

from enum import StrEnum
from typing import Any, ClassVar

from rlhf_core.records.base import Record


class HumanVerdict(StrEnum):
    """Which of two answers a person holds for better."""

    LEFT = "left"
    RIGHT = "right"
    TIE = "tie"
    UNSURE = "unsure"


class Strategy(StrEnum):
    """Why a pair was put before a person."""

    DISAGREEMENT = "disagreement"
    LOW_MARGIN = "low_margin"
    HIGH_WEIGHT = "high_weight"
    RANDOM = "random"


class SpotCheck(Record):
    """What one person said of one pair, blind to the judges. No training reads it.

    `verdict` speaks of `left_id` and `right_id`, as the pair does, whichever of them was shown on
    the left: that is `shown_left`. Changing one's mind is a row of a higher round.
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
        # With the verdict: two screens of one person that answer at once are two rows, none lost.
        return (self.left_id, self.right_id, self.person, self.round, self.verdict, self.note)
