"""Records beside the prompts themselves: their users, removals, privacy findings and deletions."""

from enum import StrEnum
from typing import Any, ClassVar

from rlhf_core.records.base import Record


class Removal(StrEnum):
    """Reason why hygiene leaves a prompt out, in the order in which the rules apply."""

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


class PromptTopic(Record):
    """The topic of one prompt, as its source had it at one time; the last one holds."""

    table: ClassVar[str] = "prompt_topics"
    prompt_id: str
    number: int
    """0 for the first topic that was read, and one more after each change."""
    topic: str

    def identity(self) -> tuple[Any, ...]:
        return (self.prompt_id, self.number)


class PromptRemoval(Record):
    """A prompt that a version of the data leaves out, and the one that replaces it, if any."""

    table: ClassVar[str] = "prompt_removals"
    prompt_set_id: str
    prompt_id: str
    reason: Removal
    kept_id: str | None = None

    def identity(self) -> tuple[Any, ...]:
        return (self.prompt_set_id, self.prompt_id, self.reason)


class PrivacyFinding(Record):
    """Personal data of one kind in one prompt, or in all dropped ones; never the data itself."""

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
    """A deletion of one user's prompts: who requested it, and which models had learnt from them."""

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
