"""Imports: files of preferences from elsewhere, and their rows."""

from typing import Any, ClassVar

from rlhf_core.records.base import Record


class Import(Record):
    """A file of preferences whose import is complete."""

    table: ClassVar[str] = "imports"
    source: str
    form: str
    judge_version: str
    model_id: str
    config_hash: str
    rows: int
    left_out: int = 0
    bad: int = 0

    def identity(self) -> tuple[Any, ...]:
        return (self.judge_version,)


class ImportedRow(Record):
    """One row of an imported file: the fact it became, and its cells other than words and labels.

    `messages` and `columns` are JSON; `messages` holds those of answers of more than one message,
    by their place, and is null if there are none.
    """

    table: ClassVar[str] = "imported_rows"
    import_id: str
    prompt_id: str
    subject_table: str
    subject_id: str
    part: int = 0
    place: str
    is_conversation: bool
    messages: str | None = None
    columns: str = "{}"

    def identity(self) -> tuple[Any, ...]:
        return (self.import_id, self.subject_table, self.subject_id, self.part)
