"""Settings of the prompts: where they come from, what is left out, what is masked."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from rlhf_core.config.base import PositiveInt, Settings

PersonalData = Literal["email", "phone", "credit_card", "iban", "ip_address", "secret"]


class Columns(Settings):
    """Which column of the prompt file holds what."""

    prompt: str = "prompt"
    """The instruction or question. The only column that must exist, but for `user`, if it is named.
    """
    context: str = "context"
    """The text that a text-grounded prompt is about."""
    mode: str = "mode"
    """text_grounded, knowledge_seeking or creative. Where it is missing or empty: text_grounded
    for a row with a context, creative for one without a reference, else knowledge_seeking."""
    reference: str = "reference"
    """The reference answer: a text, or a list of several."""
    user: str | None = None
    """Who sent the prompt: a text or a whole number, kept as it is. It decides the split, so that
    no user is on both sides; a prompt that users of both sides sent is left out. `solon forget`
    finds a user's prompts by it. null: prompts have no users."""


class HygieneSettings(Settings):
    """Which prompts are left out as repetitions (arXiv:2203.02155, section 3.2); none by default.

    Prompts repeat each other only within the same context. Of those that do, the one with the
    smallest id stays, in whatever order they are read. Each one left out is a row in
    prompt_removals. In an import, which has no users, all rows about it are left out.
    """

    shared_prefix_chars: PositiveInt | None = None
    """Prompts that begin with the same so many characters repeat each other. null: not looked at.
    """
    near_duplicate: Annotated[float, Field(ge=0.5, le=1.0)] | None = None
    """Prompts with at least this share of five-character pieces in common (Jaccard; case and spaces
    aside) repeat each other, and so do those between which there is a chain of such prompts. Pairs
    are found by MinHash and then compared exactly. 0.8 is usual. null: not looked at."""
    max_per_user: PositiveInt | None = None
    """Prompts of one user, at most; which ones stay is drawn from their words. The paper takes 200.
    null: no limit. Needs columns.user."""


class PrivacySettings(Settings):
    """What happens to personal data in prompts, contexts and references, before they are stored.

    The same holds for every column of what `solon import` reads.

    Off by default: what it finds needs packages of its own (`pip install 'solon[privacy]'`), takes
    time, and a mask changes prompts. Numbers and names of people are not found.
    """

    policy: Literal["off", "count", "mask", "drop"] = "off"
    """off does not look; count only counts (table privacy_findings); mask puts a placeholder such
    as [EMAIL] in its place, so that the text itself is never stored; drop leaves the prompt out, or
    the imported row."""
    kinds: Annotated[tuple[PersonalData, ...], Field(min_length=1)] = (
        "email",
        "phone",
        "credit_card",
        "iban",
        "ip_address",
        "secret",
    )
    """What to look for. secret is API keys, tokens, private keys and passwords in addresses."""
    phone_regions: Annotated[tuple[str, ...], Field(min_length=1)] = ("US", "GB", "FR")
    """Countries (ISO 3166) whose phone numbers are found without a country code; those that begin
    with + are found everywhere. DE is a country whose numbers can be so short that prices and sums
    look like them."""


class PromptSettings(Settings):
    """Where prompts come from, and how many are held out."""

    path: str
    """A .jsonl, .csv or .parquet file, a folder written by datasets' `save_to_disk`, or
    `hf:owner/name` with an optional `:split` for a data set on the hub."""
    holdout: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    """Share of the prompts kept for evaluation. Which ones follows from each prompt's own text, or
    from its user where there are users, so the split never moves when prompts are added."""
    limit: PositiveInt | None = None
    """Read only the first so many prompts."""
    columns: Columns = Columns()
    """Names of the columns."""
    privacy: PrivacySettings = PrivacySettings()
    """What happens to personal data."""
    hygiene: HygieneSettings = HygieneSettings()
    """Which repetitions are left out."""

    @model_validator(mode="after")
    def _shares_need_users(self) -> "PromptSettings":
        if self.hygiene.max_per_user is not None and self.columns.user is None:
            raise ValueError("hygiene.max_per_user: name the column of the user in columns.user")
        return self
