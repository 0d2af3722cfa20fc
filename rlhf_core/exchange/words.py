"""Words of a row: one text, or a conversation as messages with `role` and `content`.

The store keeps texts. A prompt of one user message and an answer of one assistant message are
stored as their contents; a longer conversation is stored as a dialogue (files/dialogues.py) beside
its messages, so that exports round-trip.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rlhf_core.errors import DataFileError
from rlhf_core.files.dialogues import text_of
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


def _said(place: str, column: str, text: str) -> str:
    if not text.strip():
        raise DataFileError(f"{place}: {column!r} is empty; fill it in or remove the row")
    check_encodable(place, column, text)
    return text
