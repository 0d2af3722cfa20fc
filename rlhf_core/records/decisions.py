"""Records of people's decisions about a policy line: rollbacks and approvals."""

from typing import Any, ClassVar

from rlhf_core.records.base import Record


class Rollback(Record):
    """A decision that the champion of a line is an earlier policy again, or the SFT model.

    It withdraws the promotions between the two. Cycles order it among the promotions, so that no
    clock decides which model is the champion.
    """

    table: ClassVar[str] = "rollbacks"
    line: str
    number: int
    """Number of the rollback in its line, from 1. Of two that both follow the same one, only the
    first is stored."""
    after_cycle: int
    """The last cycle of the line that had been decided; 0 if there was none."""
    from_id: str
    to_id: str
    """The new champion: a policy that the line promoted, or the SFT model behind them."""
    to_cycle: int
    """The cycle that promoted it; 0 for the SFT model."""
    decided_by: str
    reason: str

    def identity(self) -> tuple[Any, ...]:
        return (self.line, self.number)
