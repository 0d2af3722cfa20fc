r"""Dialogues in preference data: the shared turns, and the answers that differ.

Two notations are read: one text with `\n\nHuman: ` and `\n\nAssistant: ` (arXiv:2204.05862), and a
list of messages with `role` and `content`.
"""

import os.path
from collections.abc import Sequence
from typing import Any

from rlhf_core.records.conversation import ASSISTANT, USER, Message, words_of

HUMAN_TURN, ASSISTANT_TURN = "\n\nHuman:", "\n\nAssistant:"


def is_dialogue(cell: Any) -> bool:
    return isinstance(cell, str) and cell.startswith(HUMAN_TURN)


def is_messages(cell: Any) -> bool:
    return (
        isinstance(cell, list)
        and bool(cell)
        and all(
            isinstance(message, dict)
            and isinstance(message.get("role"), str)
            and isinstance(message.get("content"), str)
            for message in cell
        )
    )


def split_dialogues(chosen: str, rejected: str) -> tuple[str, str, str] | None:
    """Return the shared turns and the two answers; None if the dialogues share no turn.

    The answers begin at the last turn of the assistant that both dialogues reach in the same
    words, and include everything after it.
    """
    shared = os.path.commonprefix([chosen, rejected])  # noqa: RUF071 - letters are compared
    start = shared.rfind(ASSISTANT_TURN)
    if start < 0:
        return None
    end = start + len(ASSISTANT_TURN)
    return _as_prompt(chosen[:start]), chosen[end:].strip(), rejected[end:].strip()


def split_messages(messages: Sequence[Message]) -> tuple[str, str]:
    """Return the messages before the last one as a text, and the text of the last one."""
    return _turns(messages[:-1]), words_of(messages[-1])


def text_of(messages: Sequence[Message], role: str) -> str:
    """Return messages as one text: turns with their speakers, except an answer's own first turn.

    Args:
        messages: At least one message.
        role: The speaker of a single message: the user for a prompt, the assistant for an answer.
    """
    if [message["role"] for message in messages] == [role]:
        return words_of(messages[0])
    if role == USER or messages[0]["role"] != ASSISTANT:
        return _turns(messages)
    return f"{words_of(messages[0])}\n\n{_turns(messages[1:])}"


def _turns(messages: Sequence[Message]) -> str:
    """Return all of these messages as turns with their speakers."""
    turns = [f"\n\n{_speaker(message['role'])}: {words_of(message)}" for message in messages]
    return _as_prompt("".join(turns))


def _speaker(role: str) -> str:
    return {"user": "Human", "assistant": "Assistant"}.get(role, role.capitalize())


def _as_prompt(dialogue: str) -> str:
    """Return a dialogue of one turn as the human's words; a longer one keeps its speakers."""
    if (
        dialogue.startswith(HUMAN_TURN)
        and dialogue.count(HUMAN_TURN) == 1
        and ASSISTANT_TURN not in dialogue
    ):
        return dialogue.removeprefix(HUMAN_TURN).strip()
    return dialogue.strip()
