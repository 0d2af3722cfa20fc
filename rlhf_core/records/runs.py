"""What ran: configs, stages that ended, work that failed."""

from typing import Any, ClassVar

from rlhf_core.records.base import Record


class ConfigVersion(Record):
    """A config as it was run, by the hash that other rows carry."""

    table: ClassVar[str] = "configs"
    config_hash: str
    config: str
    deciding: str = "{}"
    """A JSON object: what the hash is of, the settings that change results."""

    def identity(self) -> tuple[Any, ...]:
        return (self.config_hash,)


class CycleRun(Record):
    """A run of a cycle that began: of which policy line, by which config.

    A cycle that was cut short and resumed has several.
    """

    table: ClassVar[str] = "cycle_runs"
    line: str
    cycle: int
    config_hash: str
    source: str
    """Path of the config file; empty where there was none."""
    attempt: str
    """The run's id."""

    def identity(self) -> tuple[Any, ...]:
        return (self.line, self.cycle, self.attempt)


class StageRun(Record):
    """A stage that ended, with the rows it found and added."""

    table: ClassVar[str] = "stage_runs"
    line: str
    config_hash: str
    cycle: int
    stage: str
    seconds: float
    detail: str

    def identity(self) -> tuple[Any, ...]:
        return (self.line, self.config_hash, self.cycle, self.stage)


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
