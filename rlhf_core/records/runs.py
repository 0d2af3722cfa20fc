"""What ran: configs, stages that ended, work that failed."""

from typing import Any, ClassVar

from rlhf_core.records.base import Record


class ConfigVersion(Record):
    """A config as it was run, by the hash that other rows carry."""

    table: ClassVar[str] = "configs"
    config_hash: str
    config: str

    def identity(self) -> tuple[Any, ...]:
        return (self.config_hash,)


class StageRun(Record):
    """A stage that ended, with the rows it found and added."""

    table: ClassVar[str] = "stage_runs"
    config_hash: str
    cycle: int
    stage: str
    seconds: float
    detail: str

    def identity(self) -> tuple[Any, ...]:
        return (self.config_hash, self.cycle, self.stage)


class Failure(Record):
    """Work that could not be done, and why; it stays missing, so the next run tries it again."""

    table: ClassVar[str] = "failures"
    stage: str
    subject_id: str
    reason: str
    attempt: str

    def identity(self) -> tuple[Any, ...]:
        return (self.stage, self.subject_id, self.attempt)


class Retraction(Record):
    """A decision that a fact must not be relied on, or, where withdrawn, may be again.

    Facts stay as they are: of the decisions about one subject the last one counts.
    """

    table: ClassVar[str] = "retractions"
    subject_table: str
    """judgements, judge_versions (all judgements of it), pairs, candidates or prompts."""
    subject_id: str
    number: int
    """Which decision about this subject it is, from 1: who decides on a decision that another has
    just followed adds nothing."""
    withdrawn: bool = False
    reason: str
    retracted_by: str

    def identity(self) -> tuple[Any, ...]:
        return (self.subject_table, self.subject_id, self.number)
