"""Records of decisions about a policy line: its reward models, approvals, champions."""

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


class ApprovalRequest(Record):
    """A policy that meets the conditions of promotion and waits for a person to decide.

    Its fields are those of the decision that it waits for.
    """

    table: ClassVar[str] = "approval_requests"
    line: str
    config_hash: str
    cycle: int
    policy_id: str
    baseline_id: str
    evaluation_id: str
    reasons: tuple[str, ...]
    error_rate: float | None = None
    win_rate_bound: float | None = None

    def identity(self) -> tuple[Any, ...]:
        return (self.line, self.cycle, self.evaluation_id)


class Approval(Record):
    """The decision of a person about a policy that meets the conditions of promotion."""

    table: ClassVar[str] = "approvals"
    line: str
    cycle: int
    policy_id: str
    approved: bool
    decided_by: str
    reason: str

    def identity(self) -> tuple[Any, ...]:
        return (self.line, self.cycle, self.policy_id)


class RewardComparison(Record):
    """The decision whether a reward model may train policies, against the line's last one."""

    table: ClassVar[str] = "reward_comparisons"
    line: str
    cycle: int
    model_id: str
    baseline_id: str | None
    """The last reward model that was accepted; null if there is none to compare with."""
    rule: str
    prompts: int
    pairs: int
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    baseline_accuracy: float | None = None
    baseline_accuracy_low: float | None = None
    baseline_accuracy_high: float | None = None
    p_worse: float | None = None
    p_better: float | None = None
    accepted: bool
    reason: str

    def identity(self) -> tuple[Any, ...]:
        return (self.line, self.model_id)


class Publication(Record):
    """An attempt to publish a champion to a target."""

    table: ClassVar[str] = "publications"
    line: str
    target: str
    model_id: str
    change_id: str
    """The promotion or rollback that made it the champion."""
    attempt: str
    """The run's id."""
    published: bool
    detail: str

    def identity(self) -> tuple[Any, ...]:
        return (self.change_id, self.target, self.attempt, self.published)
