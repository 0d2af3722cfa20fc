"""Words of a row: one text, or a conversation as messages with `role` and `content`.

The store keeps texts. A prompt of one user message and an answer of one assistant message are
their contents; a longer conversation is written as a dialogue (labelled/dialogues.py) beside its
messages, so that it comes out as it went in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlhf_core.errors import DataFileError
from rlhf_core.files.dialogues import is_dialogue, split_dialogues, text_of

USER, ASSISTANT = "user", "assistant"
Message = dict[str, str]


@dataclass(frozen=True)
class Words:
    """A prompt or an answer: its text, and its messages where the text alone does not say them."""

    text: str
    messages: tuple[Message, ...] | None = None

    def as_messages(self, role: str) -> list[Message]:
        return list(self.messages or [{"role": role, "content": self.text}])

    def changed(self, role: str, change: Callable[[str], str]) -> "Words":
        """With every text changed, of messages each one's by itself."""
        if self.messages is None:
            return Words(change(self.text))
        messages = [{**message, "content": change(message["content"])} for message in self.messages]
        return Words(text_of(messages, role), tuple(messages))


def read_words(place: str, column: str, cell: Any, role: str) -> Words:
    """What a cell says.

    Args:
        place: Where the row stands, for errors.
        column: Name of the cell.
        cell: A text, or a list of messages.
        role: Who speaks, where it is one message: `USER` for a prompt, `ASSISTANT` for an answer.

    Raises:
        DataFileError: If it is neither, is empty, or is no Unicode text.
    """
    if isinstance(cell, str):
        return Words(_said(place, column, cell))
    messages = read_messages(place, column, cell)
    _said(place, column, messages[-1]["content"])
    if [message["role"] for message in messages] == [role]:
        return Words(messages[0]["content"])
    return Words(text_of(messages, role), tuple(messages))


def read_messages(place: str, column: str, cell: Any) -> list[Message]:
    """A list of messages.

    Raises:
        DataFileError: If it is anything else, or a message holds more than role and content.
    """
    if not isinstance(cell, list) or not cell:
        found = "an empty list" if isinstance(cell, list) else type(cell).__name__
        raise DataFileError(f"{place}: {column!r} must be text or messages, not {found}")
    return [_message(place, column, message) for message in cell]


def split_implicit(place: str, chosen: Any, rejected: Any) -> tuple[Any, Any, Any]:
    """Prompt, chosen and rejected of a row without a prompt: what both share comes first.

    Messages, and texts that are no dialogues, are split as TRL's `extract_prompt` does. Dialogues
    of `Human:` and `Assistant:` (arXiv:2204.05862) are split at a turn, not in mid-sentence.

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
        shared -= 1  # a space belongs to the word after it
    if shared <= 0 or shared in (len(chosen), len(rejected)):
        raise DataFileError(
            f"{place}: no column 'prompt', and chosen and rejected do not begin with a shared one"
        )
    return chosen[:shared], chosen[shared:], rejected[shared:]


def _shared(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many entries at the start are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    least = min(len(one), len(other))
    return next((place for place, (left, right) in pairs if left != right), least)


def _message(place: str, column: str, cell: Any) -> Message:
    # Parquet and data sets fill in null where a message of another row holds more.
    fields = {k: v for k, v in cell.items() if v is not None} if isinstance(cell, Mapping) else {}
    if set(fields) != {"role", "content"} or not all(isinstance(v, str) for v in fields.values()):
        raise DataFileError(
            f"{place}: a message of {column!r} must hold role and content, two texts, and no more"
        )
    for text in fields.values():
        _encodable(place, column, text)
    return {"role": fields["role"], "content": fields["content"]}


def _said(place: str, column: str, text: str) -> str:
    if not text.strip():
        raise DataFileError(f"{place}: {column!r} is empty; fill it in or remove the row")
    _encodable(place, column, text)
    return text


def _encodable(place: str, column: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataFileError(
            f"{place}: {column!r} holds half a surrogate pair, which is no text"
        ) from None
