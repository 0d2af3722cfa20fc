"""Settings of the prompts: their source, hygiene and privacy."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from rlhf_core.config.base import ASIDE, UNLESS_SET, PositiveInt, Settings
from rlhf_core.files.format_names import FormatName

PersonalData = Literal["email", "phone", "credit_card", "iban", "ip_address", "secret"]


class Columns(Settings):
    """Names of the columns of the prompt file.

    A part of a nested column is named by its path, such as `extra_info.answer`,
    `messages[0].content` or `completions[*].response`.
    """

    prompt: str = "prompt"
    """The instruction or question: a text, or a conversation as a list of messages with `role` and
    `content`, which ends with the user's. Without this column, the prompt is what precedes the last
    answer of `messages`, or what `chosen` and `rejected` both begin with."""
    context: str = "context"
    """The text that a text-grounded prompt is about."""
    mode: str = "mode"
    """text_grounded, knowledge_seeking or creative. If it is missing or empty: text_grounded for a
    row with a context, creative for one without a reference, else knowledge_seeking."""
    reference: str = "reference"
    """The reference answer: a text, a number or a list of either. 5 and 5.0 are read as "5"."""
    few_shot: Annotated[str, UNLESS_SET] = "few_shot"
    """Worked examples: a list of messages of user and assistant in turn. The model reads them
    before the prompt; judges do not see them, and prompts are compared without them."""
    tools: Annotated[str, UNLESS_SET] = "tools"
    """The tools that the model may call: a list of descriptions with `type` and `function`, or such
    a list as JSON text. The chat template shows them to the model."""
    system: Annotated[str | None, UNLESS_SET] = None
    """A system message that comes before the prompt. null: prompts have none of their own, except
    conversations that begin with one."""
    rubric: Annotated[str, UNLESS_SET] = "rubric"
    """The criteria of answers to this prompt: a list of texts, or of objects with `criterion` and
    `points`, or such a list as JSON text. A criterion with points below 0 should not be met."""
    topic: Annotated[str | None, ASIDE] = None
    """The topic or source of the prompt, at most 80 characters: evaluations show the win rate by
    topic. It is no part of the prompt. null: prompts have no topics."""
    user: str | None = None
    """The user who sent the prompt: a text or an integer, stored unchanged. It decides the split,
    so that no user is on both sides; a prompt sent by users of both sides is left out. `solon
    forget` finds a user's prompts by it. null: prompts have no users."""


class HygieneSettings(Settings):
    """Rules that leave out repeated prompts (arXiv:2203.02155, section 3.2); off by default.

    Compared is what is asked, without worked examples. Only prompts with the same context, system
    message and tools can repeat each other. Of those that do, the one with the
    smallest id stays, in whatever order they are read. Each prompt left out is a row in
    prompt_removals. In an import, which has no users, all of its rows are left out.
    """

    shared_prefix_chars: PositiveInt | None = None
    """Prompts whose first characters, this many, are equal repeat each other. null: not checked."""
    near_duplicate: Annotated[float, Field(ge=0.5, le=1.0)] | None = None
    """Prompts with at least this share of five-character pieces in common (Jaccard, ignoring case
    and spaces) repeat each other, and so do prompts linked by a chain of such pairs. MinHash
    proposes pairs, which are then compared exactly. 0.8 is usual. null: not checked."""
    max_per_user: PositiveInt | None = None
    """Most prompts of one user; the choice is drawn from their words. The paper uses 200. null: no
    limit. Needs columns.user."""


class PrivacySettings(Settings):
    """Treatment of personal data in prompts, contexts and references, before they are stored.

    The same rules apply to every column that `solon import` reads.

    Off by default: detection needs extra packages (`pip install 'solon[privacy]'`) and time, and
    masks change prompts. Names of people and their identity numbers are not detected.
    """

    policy: Literal["off", "count", "mask", "drop"] = "off"
    """off: no detection. count: findings are counted in the table privacy_findings. mask: a
    placeholder such as [EMAIL] replaces the data, which is never stored. drop: the prompt, or the
    imported row, is left out."""
    kinds: Annotated[tuple[PersonalData, ...], Field(min_length=1)] = (
        "email",
        "phone",
        "credit_card",
        "iban",
        "ip_address",
        "secret",
    )
    """Kinds to detect. secret covers API keys, tokens, private keys and passwords in addresses."""
    phone_regions: Annotated[tuple[str, ...], Field(min_length=1)] = ("US", "GB", "FR")
    """Countries (ISO 3166) whose phone numbers are detected without a country code; numbers that
    begin with + are always detected. In some countries, such as DE, numbers can be so short that
    prices and sums look like them."""


class PromptSettings(Settings):
    """Source of the prompts, and the share that is held out."""

    path: str
    """A .jsonl, .json, .csv or .tsv file, plain or as .gz or .zst, a .parquet file, a folder that
    datasets' `save_to_disk` wrote, or a data set on the hub: `hf:owner/name:CONFIG:SPLIT`. A single
    part after the name is the split, and without any it is train."""
    format: Annotated[FormatName | None, UNLESS_SET] = None
    """Name of a well-known data set, whose columns are then known. null: recognised by its columns,
    if they are those of one data set alone. `columns` takes precedence."""
    holdout: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    """Share of the prompts held out for evaluation. The split is drawn from each prompt's own text,
    or from its user if there are users, so it never changes when prompts are added."""
    limit: PositiveInt | None = None
    """Read only this many prompts, from the beginning."""
    columns: Columns = Columns()
    """Names of the columns."""
    privacy: PrivacySettings = PrivacySettings()
    """Treatment of personal data."""
    hygiene: HygieneSettings = HygieneSettings()
    """Rules for repeated prompts."""

    @model_validator(mode="after")
    def _shares_need_users(self) -> "PromptSettings":
        if self.hygiene.max_per_user is not None and self.columns.user is None:
            raise ValueError("hygiene.max_per_user: name the column of the user in columns.user")
        return self
