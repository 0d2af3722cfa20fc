"""What reading prompts leaves beside the prompts: senders, what was left out, what was deleted."""

from enum import StrEnum
from typing import Any, ClassVar

from rlhf_core.records.base import Record


class Removal(StrEnum):
    """Why hygiene leaves a prompt out, in the order in which it looks."""

    BOTH_SPLITS = "both_splits"
    SHARED_PREFIX = "shared_prefix"
    NEAR_DUPLICATE = "near_duplicate"
    PER_USER = "per_user"


class PromptUser(Record):
    """One user who sent one prompt."""

    table: ClassVar[str] = "prompt_users"
    prompt_id: str
    user_id: str

    def identity(self) -> tuple[Any, ...]:
        return (self.prompt_id, self.user_id)


class PromptRemoval(Record):
    """A prompt that a version of the data does without, and the one that stands for it, if any."""

    table: ClassVar[str] = "prompt_removals"
    prompt_set_id: str
    prompt_id: str
    reason: Removal
    kept_id: str | None = None

    def identity(self) -> tuple[Any, ...]:
        return (self.prompt_set_id, self.prompt_id, self.reason)


class PrivacyFinding(Record):
    """Personal data of one kind in one prompt, or in all that were dropped; never its text."""

    table: ClassVar[str] = "privacy_findings"
    prompt_set_id: str
    source: str
    kind: str
    action: str
    prompt_id: str | None = None
    spans: int
    prompts: int = 1

    def identity(self) -> tuple[Any, ...]:
        return (self.prompt_set_id, self.source, self.kind, self.action, self.prompt_id)


class Deletion(Record):
    """What was deleted for one user, who asked for it, and the models that had learnt from it."""

    table: ClassVar[str] = "deletions"
    user_hash: str
    requested_by: str
    deletion: str
    deleted_rows: str
    model_ids: tuple[str, ...]

    def identity(self) -> tuple[Any, ...]:
        return (self.user_hash, self.deletion)


class PromptTombstone(Record):
    """A prompt that a user had deleted."""

    table: ClassVar[str] = "prompt_tombstones"
    prompt_id: str
    user_hash: str

    def identity(self) -> tuple[Any, ...]:
        return (self.prompt_id, self.user_hash)
