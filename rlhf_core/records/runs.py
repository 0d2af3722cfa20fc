"""Records of runs: configs, cycles, finished stages, failures, retractions and removals."""

from typing import Any, ClassVar

from rlhf_core.records.base import Record


class ConfigVersion(Record):
    """A config that was run, by the hash that other rows refer to."""

    table: ClassVar[str] = "configs"
    config_hash: str
    config: str
    deciding: str = "{}"
    """A JSON object with the settings that change results, which the hash covers."""

    def identity(self) -> tuple[Any, ...]:
        return (self.config_hash,)


class CycleRun(Record):
    """The start of a run that works on a cycle: its policy line and its config.

    A cycle that was interrupted and resumed, or whose stages ran by themselves, has several rows.
    """

    table: ClassVar[str] = "cycle_runs"
    line: str
    cycle: int
    config_hash: str
    source: str
    """Path of the config file; empty if there was none."""
    attempt: str
    """The run's id."""

    def identity(self) -> tuple[Any, ...]:
        return (self.line, self.cycle, self.attempt)


class StageRun(Record):
    """A finished stage, with the rows it found and added.

    A rerun that comes to the same detail and result is not stored again.
    """

    table: ClassVar[str] = "stage_runs"
    line: str
    config_hash: str
    cycle: int
    stage: str
    number: int = 1
    """Number of the result, from 1. A rerun whose inputs grew has the next one; the last counts."""
    seconds: float
    detail: str
    result: str = "{}"
    """A JSON object with the ids that later stages start from."""

    def identity(self) -> tuple[Any, ...]:
        return (self.line, self.config_hash, self.cycle, self.stage, self.number)


class TriggerFiring(Record):
    """A condition of `service.triggers` that held, and started work.

    A condition that goes on to hold fires again for each further multiple of its threshold.
    """

    table: ClassVar[str] = "trigger_firings"
    line: str
    condition: str
    """A key of `service.triggers`."""
    since: str
    """Id of the last reward model or set of prompts, from which value counts; empty if none."""
    multiple: int
    """Number of times over that the condition held, from 1."""
    value: float
    threshold: float

    def identity(self) -> tuple[Any, ...]:
        return (self.line, self.condition, self.since, self.multiple)


class Failure(Record):
    """Work that failed, and the reason; it stays missing, so the next run retries it."""

    table: ClassVar[str] = "failures"
    stage: str
    subject_id: str
    reason: str
    attempt: str

    def identity(self) -> tuple[Any, ...]:
        return (self.stage, self.subject_id, self.attempt)


class Quarantine(Record):
    """A decision that a stage leaves out a prompt on which it failed again and again, or lifts it.

    The last decision about a stage and a prompt counts.
    """

    table: ClassVar[str] = "quarantines"
    stage: str
    prompt_id: str
    judge_version: str = ""
    """The judge that failed on it, in the stage `judge`; empty in other stages."""
    number: int
    """Number of the decision about this stage and prompt, from 1. Of two decisions that both follow
    the same one, only the first is stored."""
    failures: int
    """Runs in a row in which the stage failed on the prompt; 0 if the quarantine is lifted."""
    is_lifted: bool = False
    reason: str

    def identity(self) -> tuple[Any, ...]:
        return (self.stage, self.prompt_id, self.judge_version, self.number)


class Retraction(Record):
    """A decision that a fact must not be used, or, if withdrawn, may be used again.

    Facts themselves never change; the last decision about a subject counts.
    """

    table: ClassVar[str] = "retractions"
    subject_table: str
    """judgements, judge_versions (all judgements of that version), pairs, candidates or prompts."""
    subject_id: str
    number: int
    """Number of the decision about this subject, from 1. Of two decisions that both follow the same
    one, only the first is stored."""
    withdrawn: bool = False
    reason: str
    retracted_by: str

    def identity(self) -> tuple[Any, ...]:
        return (self.subject_table, self.subject_id, self.number)


class ArtifactRemoval(Record):
    """A decision of `solon gc` to remove files, or the texts of a policy's rollouts."""

    table: ClassVar[str] = "artifact_removals"
    kind: str
    """model, checkpoint, curves, report or rollouts."""
    name: str
    """Path of the file or folder in the artifacts; the policy's id for rollouts."""
    model_id: str | None = None
    line: str
    cycle: int
    """The cycle that made it."""
    keep_cycles: int
    """The retention of the line at that time."""
    bytes: int
    removed_by: str
    removal: str
    """Id that all removals of one command share."""

    def identity(self) -> tuple[Any, ...]:
        return (self.kind, self.name, self.removal)
