"""Reading of prompts from files and data sets into records.

A row that cannot be used is an error that names its line; nothing is skipped silently.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rlhf_core.config.prompts import Columns, PromptSettings
from rlhf_core.files.cells import Cells
from rlhf_core.files.dialogues import text_of
from rlhf_core.files.messages import read_few_shot, read_prompt_messages, read_tools
from rlhf_core.files.rows import NamedColumns, read_source
from rlhf_core.files.rubrics import read_rubric
from rlhf_core.records import Mode, Prompt, split_of
from rlhf_core.records.conversation import USER, opening_of, to_json
from rlhf_core.records.preferences import likely_mode
from rlhf_core.records.rubric import rubric_to_json

NO_FILE = "set prompts.path to an existing file or data set"


@dataclass(frozen=True)
class SentPrompt:
    """A row of the source: the prompt, split by its own words, and the user who sent it."""

    prompt: Prompt
    user_id: str | None


def read_sent_prompts(settings: PromptSettings) -> Iterator[SentPrompt]:
    """Yield every row of the source, in its order.

    Raises:
        DataFileError: If the source is missing, a row is broken (names the line), or no row has a
            column that the settings name.
    """
    columns = settings.columns
    roles = {role: name for role, name in columns if name is not None}
    named = NamedColumns(_renamed(columns))
    for place, row in islice(read_source(settings.path, fix=NO_FILE), settings.limit):
        named.see(row)
        cells = Cells(place, row, roles, hint="; name it in prompts.columns.{role}")
        yield SentPrompt(_prompt(cells, settings.holdout), _user(cells) if columns.user else None)
    named.check(settings.path)


def _renamed(columns: Columns) -> dict[str, str]:
    """Return the columns whose names differ from the default, by the setting that names them."""
    defaults = Columns()
    return {
        f"prompts.columns.{role}": name
        for role, name in columns
        if name is not None and name != getattr(defaults, role)
    }


def _prompt(cells: Cells, holdout: float) -> Prompt:
    cells.require("prompt")
    text, messages = _asked(cells)
    context = cells.optional_text("context")
    references = _references(cells)
    return Prompt(
        text=text,
        context=context,
        mode=_mode(cells, context, references),
        reference_answers=references,
        messages=messages and to_json(messages),
        few_shot=read_few_shot(cells.place, cells.column("few_shot") or "", cells.get("few_shot")),
        tools=read_tools(cells.place, cells.column("tools") or "", cells.get("tools")),
        rubric=_rubric(cells),
        split=split_of(opening_of(messages).strip() if messages else text, context, holdout),
    )


def _asked(cells: Cells) -> tuple[str, list[dict[str, Any]] | None]:
    """Return the text of a prompt, and its messages unless it is a single one of the user."""
    cell = cells.get("prompt")
    messages = None
    if isinstance(cell, list):
        messages = read_prompt_messages(cells.place, cells.column("prompt") or "prompt", cell)
        text = text_of(messages, USER).strip()
        messages = messages if [one["role"] for one in messages] != [USER] else None
    else:
        text = cells.optional_text("prompt") or ""
    if not text:
        raise cells.error("the prompt is empty; fill it in or remove the line")
    return text, messages


def _rubric(cells: Cells) -> str | None:
    criteria = read_rubric(cells.place, cells.column("rubric") or "rubric", cells.get("rubric"))
    return rubric_to_json(criteria) if criteria else None


def _user(cells: Cells) -> str | None:
    cells.require("user")
    cell = cells.get("user")
    if isinstance(cell, bool) or not isinstance(cell, str | int | None):
        raise cells.wrong("user", cell, "a text or a whole number")
    return None if cell is None else str(cell).strip() or None


def _references(cells: Cells) -> tuple[str, ...]:
    cell = cells.get("reference")
    entries = cell if isinstance(cell, list) else [cell]
    texts = [cells.as_text("reference", entry).strip() for entry in entries if entry is not None]
    return tuple(text for text in texts if text)


def _mode(cells: Cells, context: str | None, references: Sequence[str]) -> Mode:
    cell = cells.get("mode")
    if not cell:
        return likely_mode(context, references)
    try:
        return Mode(cell)
    except ValueError:
        raise cells.error(f"mode {cell!r}; use {', '.join(Mode)}") from None
