r"""Dialogues as preference data writes them: what was said before, and the answers that differ.

Two spellings: one text with `\n\nHuman: ` and `\n\nAssistant: ` (arXiv:2204.05862), and a list
of messages with `role` and `content`.
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
    """What was said before, and what differs; None where the two share no turn.

    The answers begin at the last turn of the assistant that both dialogues reach in the same
    words, and hold all that follows.
    """
    shared = os.path.commonprefix([chosen, rejected])  # noqa: RUF071 - letters are compared
    start = shared.rfind(ASSISTANT)
    if start < 0:
        return None
    end = start + len(ASSISTANT)
    return _asked(chosen[:start]), chosen[end:].strip(), rejected[end:].strip()


def split_messages(messages: Sequence[Mapping[str, str]]) -> tuple[str, str]:
    """What was said before the last message, and that message."""
    turns = [f"\n\n{_speaker(message['role'])}: {message['content']}" for message in messages[:-1]]
    return _asked("".join(turns)), messages[-1]["content"]


def text_of(messages: Sequence[Mapping[str, str]], role: str) -> str:
    """Messages as one text: turns with their speakers, an answer's own first turn without.

    Args:
        messages: At least one.
        role: Who speaks where it is one message: the user of a prompt, the assistant of an answer.
    """
    if [message["role"] for message in messages] == [role]:
        return messages[0]["content"]
    if role == USER_ROLE or messages[0]["role"] != ASSISTANT_ROLE:
        return _turns(messages)
    return f"{messages[0]['content']}\n\n{_turns(messages[1:])}"


def _turns(messages: Sequence[Mapping[str, str]]) -> str:
    """What was said in these messages, whoever speaks next."""
    return split_messages([*messages, {"role": USER_ROLE, "content": ""}])[0]


def _speaker(role: str) -> str:
    return {"user": "Human", "assistant": "Assistant"}.get(role, role.capitalize())


def _asked(dialogue: str) -> str:
    """A dialogue of one turn is what the human said; a longer one keeps its speakers."""
    if dialogue.startswith(HUMAN) and dialogue.count(HUMAN) == 1 and ASSISTANT not in dialogue:
        return dialogue.removeprefix(HUMAN).strip()
    return dialogue.strip()
