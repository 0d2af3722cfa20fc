r"""Dialogues in preference data: the shared turns, and the answers that differ.

Two notations are read: one text with `\n\nHuman: ` and `\n\nAssistant: ` (arXiv:2204.05862), and a
list of messages with `role` and `content`.
"""

import os.path
from collections.abc import Mapping, Sequence
from typing import Any

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
USER_ROLE, ASSISTANT_ROLE = "user", "assistant"


def is_dialogue(cell: Any) -> bool:
    return isinstance(cell, str) and cell.startswith(HUMAN)


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
    start = shared.rfind(ASSISTANT)
    if start < 0:
        return None
    end = start + len(ASSISTANT)
    return _as_prompt(chosen[:start]), chosen[end:].strip(), rejected[end:].strip()


def split_messages(messages: Sequence[Mapping[str, str]]) -> tuple[str, str]:
    """Return the messages before the last one as a text, and the text of the last one."""
    turns = [f"\n\n{_speaker(message['role'])}: {message['content']}" for message in messages[:-1]]
    return _as_prompt("".join(turns)), messages[-1]["content"]


def text_of(messages: Sequence[Mapping[str, str]], role: str) -> str:
    """Return messages as one text: turns with their speakers, except an answer's own first turn.

    Args:
        messages: At least one message.
        role: The speaker of a single message: the user for a prompt, the assistant for an answer.
    """
    if [message["role"] for message in messages] == [role]:
        return messages[0]["content"]
    if role == USER_ROLE or messages[0]["role"] != ASSISTANT_ROLE:
        return _turns(messages)
    return f"{messages[0]['content']}\n\n{_turns(messages[1:])}"


def _turns(messages: Sequence[Mapping[str, str]]) -> str:
    """Return all of these messages as turns with their speakers."""
    return split_messages([*messages, {"role": USER_ROLE, "content": ""}])[0]


def _speaker(role: str) -> str:
    return {"user": "Human", "assistant": "Assistant"}.get(role, role.capitalize())


def _as_prompt(dialogue: str) -> str:
    """Return a dialogue of one turn as the human's words; a longer one keeps its speakers."""
    if dialogue.startswith(HUMAN) and dialogue.count(HUMAN) == 1 and ASSISTANT not in dialogue:
        return dialogue.removeprefix(HUMAN).strip()
    return dialogue.strip()
