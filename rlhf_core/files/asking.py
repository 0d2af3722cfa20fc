"""The prompt of a row, in a column of its own or at the beginning of its answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlhf_core.errors import DataFileError
from rlhf_core.files.cells import Cells
from rlhf_core.files.dialogues import text_of
from rlhf_core.files.messages import check_encodable, read_prompt_messages
from rlhf_core.files.spellings import is_dialogue, read_answered_dialogue
from rlhf_core.records.conversation import (
    ASSISTANT,
    SYSTEM,
    SYSTEM_ROLES,
    USER,
    Message,
    from_json,
    without_context,
    without_few_shot,
)


def prompt_cell(cells: Cells) -> Any:
    """Return the prompt: a text, or messages; None if the row has none.

    The column `input` follows a text, and the column `system` comes before either.

    Raises:
        DataFileError: If the prompt has a system message beside that of the column.
    """
    cell = cells.get("prompt")
    more, system = cells.optional_text("input"), cells.optional_text("system")
    if more and isinstance(cell, str):
        cell = f"{cell}\n\n{more}"
    if system is None or not isinstance(cell, str | list):
        return cell
    messages = [{"role": USER, "content": cell}] if isinstance(cell, str) else cell
    if _role(messages) in SYSTEM_ROLES:
        raise cells.error(
            f"{cells.column('prompt')!r} begins with a system message of its own, beside the "
            f"column {cells.column('system')!r}; keep one of them"
        )
    return [{"role": SYSTEM, "content": system}, *messages]


def asked(
    place: str, column: str, cell: Any, context: str | None = None, few_shot: str | None = None
) -> tuple[str, tuple[Message, ...] | None]:
    """Return the text of a prompt, and its messages unless it is a single one of the user.

    Exports write a prompt as the model reads it: with worked examples, and with its context before
    the last message of the user. Both also stand in columns of their own, so they are taken off.

    Args:
        place: File and line of the row, for errors.
        column: Name of the column of the prompt.
        cell: The prompt: a text, or a list of messages.
        context: The text that the prompt is about, if any.
        few_shot: JSON list of its worked examples, if any.

    Raises:
        DataFileError: If the cell is neither, is empty, or leaves nothing to answer.
    """
    if isinstance(cell, str):
        check_encodable(place, column, cell)
        text, messages = cell.removeprefix(f"{context}\n\n") if context else cell, None
    else:
        read = read_prompt_messages(place, column, cell)
        messages = tuple(without_context(without_few_shot(read, from_json(few_shot)), context))
        text = text_of(messages, USER)
        messages = None if [message["role"] for message in messages] == [USER] else messages
    if not text.strip():
        raise DataFileError(f"{place}: the prompt is empty; fill it in or remove the row")
    return text, messages


def compared_cells(cells: Cells) -> tuple[Any, Any, Any]:
    """Return the prompt, the chosen and the rejected answer of a row.

    A prompt that both answers begin with is split off, as in hh-rlhf and UltraFeedback.

    Raises:
        DataFileError: If a cell is missing, the answers share no beginning, or a column holds
            another prompt than that beginning.
    """
    chosen, rejected, prompt = cells.raw("chosen"), cells.raw("rejected"), prompt_cell(cells)
    if prompt is None and is_dialogue(chosen) and is_dialogue(rejected):
        chosen = read_answered_dialogue(cells.place, cells.shown("chosen"), chosen)
        rejected = read_answered_dialogue(cells.place, cells.shown("rejected"), rejected)
    holds_prompt = all(
        isinstance(cell, list) and _role(cell) != ASSISTANT for cell in (chosen, rejected)
    )
    if prompt is not None and not holds_prompt:
        return prompt, chosen, rejected
    shared, chosen, rejected = split_shared(cells.place, chosen, rejected)
    if not _is_among(prompt, shared):
        raise cells.error(
            f"{cells.column('prompt')!r} is not what 'chosen' and 'rejected' begin with; remove "
            "the column, or their beginnings"
        )
    return shared, chosen, rejected


def is_silent(answer: Any) -> bool:
    """Return True for an answer of one message without words, as some dialogues of hh-rlhf end."""
    is_one = isinstance(answer, list) and len(answer) == 1 and isinstance(answer[0], Mapping)
    return is_one and answer[0].get("content") == ""


def split_shared(place: str, chosen: Any, rejected: Any) -> tuple[Any, Any, Any]:
    """Split off the shared beginning of two answers as their prompt, like TRL's `extract_prompt`.

    The answers of messages begin with one of the assistant.

    Args:
        place: File and line of the row, for errors.
        chosen: The better answer with its prompt: a text or a list of messages.
        rejected: The worse one, of the same kind.

    Returns:
        Prompt, chosen and rejected.

    Raises:
        DataFileError: If the two share nothing, or one is the beginning of the other.
    """
    if type(chosen) is not type(rejected) or not isinstance(chosen, str | list):
        raise DataFileError(f"{place}: chosen and rejected must be two texts or two lists")
    shared = _shared(chosen, rejected)
    is_whole = shared in (len(chosen), len(rejected))
    if isinstance(chosen, str):
        shared -= chosen[shared - 1 : shared] == " "  # a space belongs to the next word
    else:
        while (
            shared > 0
            and not is_whole
            and {_role(chosen[shared:]), _role(rejected[shared:])} != {ASSISTANT}
        ):
            shared -= 1
    if shared <= 0 or is_whole:
        raise DataFileError(
            f"{place}: no column 'prompt', and chosen and rejected do not begin with a shared one"
        )
    return chosen[:shared], chosen[shared:], rejected[shared:]


def any_prompt_cell(cells: Cells) -> Any:
    """Return the prompt of a row, also from a whole conversation or from a pair of answers.

    Raises:
        DataFileError: If the row has none of them.
    """
    if cells.column("prompt") is None:
        if cells.get("messages") is not None:
            messages = cells.entries("messages")
            return messages[:-1] if _role(messages[-1:]) == ASSISTANT else messages
        if cells.has("chosen", "rejected"):
            return compared_cells(cells)[0]
    cells.require("prompt")
    return prompt_cell(cells)


def split_answer(cells: Cells) -> tuple[Any, Any]:
    """Return the messages before the last one, and the last one, of the column `messages`.

    Raises:
        DataFileError: If it holds no list of two or more.
    """
    messages = cells.entries("messages")
    if len(messages) < 2:
        raise cells.error(f"{cells.column('messages')!r} must be a list of two or more")
    return messages[:-1], messages[-1:]


def _role(messages: Sequence[Any]) -> Any:
    first = messages[0] if messages else None
    return first.get("role") if isinstance(first, Mapping) else None


def _shared(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Return the number of equal entries at the start."""
    pairs = enumerate(zip(one, other, strict=False))
    least = min(len(one), len(other))
    return next((place for place, (left, right) in pairs if left != right), least)


def _is_among(prompt: Any, shared: Any) -> bool:
    """Return True if a prompt is all of the shared messages, or the text of one of them."""
    if prompt is None or prompt == shared:
        return True
    if not isinstance(prompt, str):
        return False
    texts = [message.get("content") for message in shared if isinstance(message, Mapping)]
    return prompt.strip() in [text.strip() for text in texts if isinstance(text, str)]
