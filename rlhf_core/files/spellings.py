r"""Spellings of conversations in well-known data sets, read as messages with role and content."""

import re
from collections.abc import Mapping
from typing import Any

from rlhf_core.errors import DataFileError
from rlhf_core.records.conversation import ASSISTANT, SYSTEM, TOOL, USER

SPEAKERS: Mapping[str, str] = {
    "human": USER,
    "user": USER,
    "gpt": ASSISTANT,
    "assistant": ASSISTANT,
    "chatgpt": ASSISTANT,
    "model": ASSISTANT,
    "system": SYSTEM,
    "tool": TOOL,
    "observation": TOOL,
}
"""Roles by the names that ShareGPT and its descendants give in `from`."""
HUMAN_FIRST = "\n\nHuman:"
DIALOGUE_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")
DIALOGUE_ROLES = {"Human": USER, "Assistant": ASSISTANT}
HELPSTEER_TURN = re.compile(r"\s*<extra_id_1>(User|Assistant)\n")
HELPSTEER_ROLES = {"User": USER, "Assistant": ASSISTANT}


def read_sharegpt(place: str, column: str, cell: Any) -> list[dict[str, Any]]:
    """Return a list of turns with `from` and `value`, or one such turn, as messages.

    Args:
        place: File and line of the row, for errors.
        column: Name of the column.
        cell: The cell.

    Raises:
        DataFileError: If the cell is anything else, or a speaker is not known.
    """
    turns = [cell] if isinstance(cell, Mapping) else cell
    if not isinstance(turns, list) or not turns:
        raise DataFileError(f"{place}: {column!r} must be a list of turns with from and value")
    return [_turn(f"{place}: turn {n} of {column!r}", turn) for n, turn in enumerate(turns, 1)]


def _turn(where: str, turn: Any) -> dict[str, Any]:
    if not isinstance(turn, Mapping) or not isinstance(turn.get("value"), str):
        raise DataFileError(f"{where} must hold a speaker in from and a text in value")
    role = SPEAKERS.get(str(turn.get("from")).lower())
    if role is None:
        raise DataFileError(
            f"{where} is from {turn.get('from')!r:.40}; known are {', '.join(SPEAKERS)}"
        )
    return {"role": role, "content": turn["value"]}


def is_dialogue(cell: Any) -> bool:
    """Return True for a text that begins with a turn of the human, as in hh-rlhf."""
    return isinstance(cell, str) and cell.startswith(HUMAN_FIRST)


def read_dialogue(place: str, column: str, cell: Any) -> list[dict[str, Any]]:
    r"""Return a prompt with `\n\nHuman: ` and `\n\nAssistant: ` as messages (arXiv:2204.05862).

    A last turn without words, which asks for an answer, is left out.

    Args:
        place: File and line of the row, for errors.
        column: Name of the column.
        cell: The cell.

    Raises:
        DataFileError: If the cell is no text that begins with such a turn, or a turn has no words.
    """
    return _asked(read_answered_dialogue(place, column, cell))


def read_answered_dialogue(place: str, column: str, cell: Any) -> list[dict[str, Any]]:
    """Return a prompt with its answer as messages, like `read_dialogue`.

    The last turn may have no words: then the answer is silence.

    Args:
        place: File and line of the row, for errors.
        column: Name of the column.
        cell: The cell.

    Raises:
        DataFileError: If the cell is no text that begins with such a turn, or a turn has no words.
    """
    start = DIALOGUE_TURN.match(cell.strip(" ")) if isinstance(cell, str) else None
    if start is None:
        raise DataFileError(f"{place}: {column!r} must be a text that begins with 'Human:'")
    _, *parts = DIALOGUE_TURN.split(cell)
    return _turns(f"{place}: {column!r}", parts, DIALOGUE_ROLES)


def read_helpsteer(place: str, column: str, cell: Any) -> Any:
    """Return a prompt of HelpSteer2, whose later turns begin with `<extra_id_1>`.

    Args:
        place: File and line of the row, for errors.
        column: Name of the column.
        cell: The cell.

    Returns:
        The messages; the cell itself if it has one turn, or is no text.

    Raises:
        DataFileError: If a turn before the last has no words.
    """
    if not isinstance(cell, str) or not HELPSTEER_TURN.search(cell):
        return cell
    first, *parts = HELPSTEER_TURN.split(cell)
    return _asked(_turns(f"{place}: {column!r}", ["User", first, *parts], HELPSTEER_ROLES))


def _asked(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return turns without a last one that has no words: it asks for an answer."""
    return turns if turns[-1]["content"] else turns[:-1]


def _turns(where: str, parts: list[str], roles: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return speakers and their words, one after the other; only the last may have no words."""
    turns = [
        {"role": roles[speaker], "content": words.strip()}
        for speaker, words in zip(parts[::2], parts[1::2], strict=True)
    ]
    said = turns if len(turns) == 1 else turns[:-1]
    empty = next((n for n, turn in enumerate(said, 1) if not turn["content"]), None)
    if empty is not None:
        raise DataFileError(f"{where}: turn {empty} has no words")
    return turns
