"""Reading of prompts from files and data sets into records.

A row that cannot be used is an error that names its line; nothing is skipped silently.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from rlhf_core.config.prompts import Columns, PromptSettings
from rlhf_core.files.asking import any_prompt_cell, asked
from rlhf_core.files.cells import Cells
from rlhf_core.files.formats import Layout, layout_of
from rlhf_core.files.messages import read_few_shot, read_tools
from rlhf_core.files.rows import NamedColumns, read_source
from rlhf_core.files.rubrics import read_rubric
from rlhf_core.records import Mode, Prompt, split_of
from rlhf_core.records.conversation import opening_of, to_json
from rlhf_core.records.preferences import likely_mode
from rlhf_core.records.rubric import rubric_to_json

OWN_NAMES: Mapping[str, tuple[str, ...]] = {
    "system": (),
    "input": (),
    "topic": (),
    "user": (),
}
"""Roles whose columns are read only if they are named; of the others, the name is the role."""
LONGEST_TOPIC = 80
"""Characters of a topic; longer texts are no parts that prompts share."""
NO_FILE = "set prompts.path to an existing file or data set"


@dataclass(frozen=True)
class SentPrompt:
    """A row of the source: the prompt, split by its own words, its user and its topic."""

    prompt: Prompt
    user_id: str | None
    topic: str | None


def read_sent_prompts(settings: PromptSettings) -> Iterator[SentPrompt]:
    """Yield every row of the source, in its order.

    Raises:
        DataFileError: If the source is missing, a row is broken (names the line), or no row has a
            column that the settings name.
    """
    renamed = _renamed(settings.columns)
    named = NamedColumns({f"prompts.columns.{role}": name for role, name in renamed.items()})
    layout: Layout | None = None
    for place, row in islice(read_source(settings.path, fix=NO_FILE), settings.limit):
        named.see(row)
        layout = layout or layout_of(row, settings.format, renamed, OWN_NAMES)
        cells = layout.cells(place, row, hint="; name it in prompts.columns.{role}")
        user_id = _user(cells) if settings.columns.user else None
        yield SentPrompt(_prompt(cells, settings.holdout), user_id, _topic(cells))
    named.check(settings.path)


def _renamed(columns: Columns) -> dict[str, str]:
    """Return the names of columns that differ from the default, by role."""
    defaults = Columns()
    return {
        role: name for role, name in columns if name is not None and name != getattr(defaults, role)
    }


def _prompt(cells: Cells, holdout: float) -> Prompt:
    few_shot = cells.read("few_shot", read_few_shot)
    name = cells.shown("prompt")
    cell = any_prompt_cell(cells)
    read, messages = asked(cells.place, name, "" if cell is None else cell)
    text, context = read.strip(), cells.optional_text("context")
    references = tuple(reference.strip() for reference in cells.texts("reference"))
    criteria = cells.read("rubric", read_rubric)
    return Prompt(
        text=text,
        context=context,
        mode=_mode(cells, context, references),
        reference_answers=references,
        messages=to_json(messages) if messages else None,
        few_shot=few_shot,
        tools=cells.read("tools", read_tools),
        rubric=rubric_to_json(criteria) if criteria else None,
        split=split_of(opening_of(messages).strip() if messages else text, context, holdout),
    )


def _topic(cells: Cells) -> str | None:
    topic = cells.optional_text("topic")
    if topic is not None and len(topic) > LONGEST_TOPIC:
        raise cells.error(
            f"{cells.shown('topic')!r} has {len(topic)} characters; a topic has at most "
            f"{LONGEST_TOPIC}"
        )
    return topic


def _user(cells: Cells) -> str | None:
    cells.require("user")
    cell = cells.get("user")
    if isinstance(cell, bool) or not isinstance(cell, str | int | None):
        raise cells.wrong("user", cell, "a text or a whole number")
    return None if cell is None else str(cell).strip() or None


def _mode(cells: Cells, context: str | None, references: Sequence[str]) -> Mode:
    cell = cells.get("mode")
    if not cell:
        return likely_mode(context, references)
    try:
        return Mode(cell)
    except ValueError:
        raise cells.error(f"mode {cell!r}; use {', '.join(Mode)}") from None
