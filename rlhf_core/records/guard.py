"""Records of the guard against reward hacking."""

from typing import Any, ClassVar

from rlhf_core.records.base import Record


class GuardAlarm(Record):
    """A detector that rose above its threshold, in training or before promotion."""

    table: ClassVar[str] = "guard_alarms"
    model_id: str
    step: int
    """Step of the training; 0 for the evaluation before promotion."""
    detector: str
    value: float
    threshold: float
    kl: float
    """KL from the SFT model at that step, in nats an answer."""
    reward_gain: float | None = None
    """Mean reward minus that of the model the training began from, in the reward's unit."""
    held_out_gain: float | None = None
    """The same difference by the held-out judge, in its unit; null without an opinion."""
    action: str
    """stop or report: the value of guard.action."""
    reason: str
    evidence: tuple[str, ...] = ()
    """Ids of the rollouts, or of the candidates, that raised it."""

    def identity(self) -> tuple[Any, ...]:
        return (self.model_id, self.step, self.detector)
