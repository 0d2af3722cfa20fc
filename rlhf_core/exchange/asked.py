"""The prompt of an imported row, without what exports write before it.

Exports write a prompt as the model reads it: with worked examples, and with its context before the
last message of the user. Both also stand in columns of their own, so they are taken off again.
"""

from collections.abc import Sequence
from typing import Any

from rlhf_core.exchange.words import Words, read_words
from rlhf_core.files.dialogues import text_of
from rlhf_core.files.messages import check_answerable
from rlhf_core.records.conversation import (
    USER,
    Message,
    from_json,
    without_context,
    without_few_shot,
)


def read_asked(
    place: str, column: str, cell: Any, context: str | None, few_shot: str | None
) -> Words:
    """Return what a row asks.

    Args:
        place: File and line of the row, for errors.
        column: Name of the column of the prompt.
        cell: The prompt: a text, or a list of messages.
        context: The text that the prompt is about, if any.
        few_shot: JSON list of its worked examples, if any.

    Raises:
        DataFileError: If the cell is neither, is empty, or leaves nothing to answer.
    """
    words = read_words(place, column, cell, USER)
    if isinstance(cell, str):
        return Words(words.text.removeprefix(f"{context}\n\n") if context else words.text)
    messages: Sequence[Message] = words.as_messages(USER)
    check_answerable(place, column, messages)
    messages = without_context(without_few_shot(messages, from_json(few_shot)), context)
    text = text_of(messages, USER)
    is_single = [message["role"] for message in messages] == [USER]
    return Words(text) if is_single else Words(text, tuple(messages))
