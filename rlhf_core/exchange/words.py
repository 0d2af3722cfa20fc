"""Words of a row: one text, or a conversation as messages with `role` and `content`.

The store keeps texts. A prompt of one user message and an answer of one assistant message are
stored as their contents; a longer conversation is stored as a dialogue (files/dialogues.py) beside
its messages, so that exports round-trip.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rlhf_core.errors import DataFileError
from rlhf_core.files.dialogues import is_dialogue, split_dialogues, text_of
from rlhf_core.files.messages import check_encodable, read_messages
from rlhf_core.records.conversation import Message, with_texts


@dataclass(frozen=True)
class Words:
    """A prompt or an answer: its text, and its messages if the text alone does not imply them."""

    text: str
    messages: tuple[Message, ...] | None = None

    def as_messages(self, role: str) -> list[Message]:
        return list(self.messages or [{"role": role, "content": self.text}])

    def map_texts(self, role: str, change: Callable[[str], str]) -> "Words":
        """Return the words with `change` applied to each text, message by message."""
        if self.messages is None:
            return Words(change(self.text))
        messages = with_texts(self.messages, change)
        return Words(text_of(messages, role), messages)


def read_words(place: str, column: str, cell: Any, role: str) -> Words:
    """Return a cell as words.

    Args:
        place: File and line of the row, for errors.
        column: Name of the column.
        cell: A text, or a list of messages.
        role: Speaker of a single message: the user of a prompt, the assistant of an answer.

    Returns:
        The text, and the messages unless there is only one, of that speaker.

    Raises:
        DataFileError: If the cell is neither, is empty, or is not valid Unicode.
    """
    if isinstance(cell, str):
        return Words(_said(place, column, cell))
    messages = read_messages(place, column, cell)
    _said(place, column, text_of(messages[-1:], role))
    if [message["role"] for message in messages] == [role]:
        return Words(messages[0]["content"])
    return Words(text_of(messages, role), tuple(messages))


def split_implicit(place: str, chosen: Any, rejected: Any) -> tuple[Any, Any, Any]:
    """Split off the shared beginning of two answers as their prompt.

    Messages, and texts that are no dialogues, are split like TRL's `extract_prompt`. Dialogues of
    `Human:` and `Assistant:` (arXiv:2204.05862) are split at a turn, not in mid-sentence.

    Args:
        place: File and line of the row, for errors.
        chosen: The better answer with its prompt: a text or a list of messages.
        rejected: The worse one, of the same kind.

    Returns:
        Prompt, chosen and rejected.

    Raises:
        DataFileError: If the two share nothing, or one is the beginning of the other.
    """
    if is_dialogue(chosen) and is_dialogue(rejected):
        parts = split_dialogues(chosen, rejected)
        if parts is None:
            raise DataFileError(f"{place}: the two dialogues share no turn of the assistant")
        return parts
    if type(chosen) is not type(rejected) or not isinstance(chosen, str | list):
        raise DataFileError(f"{place}: chosen and rejected must be two texts or two lists")
    shared = _shared(chosen, rejected)
    if isinstance(chosen, str) and chosen[shared - 1 : shared] == " ":
        shared -= 1  # a space belongs to the next word
    if shared <= 0 or shared in (len(chosen), len(rejected)):
        raise DataFileError(
            f"{place}: no column 'prompt', and chosen and rejected do not begin with a shared one"
        )
    return chosen[:shared], chosen[shared:], rejected[shared:]


def _shared(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Return the number of equal entries at the start."""
    pairs = enumerate(zip(one, other, strict=False))
    least = min(len(one), len(other))
    return next((place for place, (left, right) in pairs if left != right), least)


def _said(place: str, column: str, text: str) -> str:
    if not text.strip():
        raise DataFileError(f"{place}: {column!r} is empty; fill it in or remove the row")
    check_encodable(place, column, text)
    return text
