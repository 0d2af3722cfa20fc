"""Messages of a conversation in a cell, checked, in the format of OpenAI's chat completions."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rlhf_core.errors import DataFileError
from rlhf_core.records.conversation import ASSISTANT, SYSTEM_ROLES, TOOL, USER, Message, to_json

ROLES = (*SYSTEM_ROLES, USER, ASSISTANT, TOOL)
TOOL_FIELDS = ("name", "tool_calls", "tool_call_id")
FIELDS = ("role", "content", *TOOL_FIELDS)
CALL_FIELDS = ("function", "type", "id")
FUNCTION_FIELDS = ("name", "arguments")
TEXT_PART = "text"


def read_messages(place: str, column: str, cell: Any) -> list[dict[str, Any]]:
    """Return a cell as a list of messages.

    Args:
        place: File and line of the row, for errors.
        column: Name of the column.
        cell: The cell.

    Returns:
        At least one message with `role` and `content`, and the fields for tools that it has. The
        content is a text, or None in a message that only calls tools.

    Raises:
        DataFileError: If it is anything else, names an unknown role or field, or holds an image.
    """
    if not isinstance(cell, list) or not cell:
        kind = "an empty list" if isinstance(cell, list) else type(cell).__name__
        raise DataFileError(f"{place}: {column!r} must be text or messages, not {kind}")
    return [_message(f"{place}: message {n} of {column!r}", one) for n, one in enumerate(cell, 1)]


def read_prompt_messages(place: str, column: str, cell: Any) -> list[dict[str, Any]]:
    """Return a cell as the messages of a prompt, which a candidate answers.

    Args:
        place: File and line of the row, for errors.
        column: Name of the column.
        cell: The cell.

    Raises:
        DataFileError: As `read_messages`, and if no user speaks or the last message is not theirs.
    """
    messages = read_messages(place, column, cell)
    check_answerable(place, column, messages)
    return messages


def check_answerable(place: str, column: str, messages: Sequence[Message]) -> None:
    """Refuse messages that leave a candidate nothing to answer.

    Args:
        place: File and line of the row, for the error.
        column: Name of the column.
        messages: At least one message.

    Raises:
        DataFileError: If no user speaks, or the last message is neither theirs nor a tool's.
    """
    last = messages[-1]["role"]
    if last not in (USER, TOOL):
        raise DataFileError(
            f"{place}: {column!r} ends with a message of the role {last!r}, so there is nothing to "
            "answer; let it end with the user's message"
        )
    if not any(message["role"] == USER for message in messages):
        raise DataFileError(f"{place}: {column!r} has no message of the user")


def read_few_shot(place: str, column: str, cell: Any) -> str | None:
    """Return a cell with worked examples as JSON; None if it is empty.

    Args:
        place: File and line of the row, for errors.
        column: Name of the column.
        cell: The cell.

    Raises:
        DataFileError: If it holds no messages, or they are no turns of the user with answers.
    """
    if not cell:
        return None
    messages = read_messages(place, column, cell)
    if messages[0]["role"] != USER or messages[-1]["role"] != ASSISTANT:
        raise DataFileError(
            f"{place}: {column!r} must begin with a message of the user and end with its answer; "
            "put instructions into a system message of the prompt"
        )
    return to_json(messages)


def read_tools(place: str, column: str, cell: Any) -> str | None:
    """Return a cell with descriptions of tools as JSON; None if it is empty.

    Args:
        place: File and line of the row, for errors.
        column: Name of the column.
        cell: A list of descriptions, or such a list as JSON text.

    Raises:
        DataFileError: If it is neither.
    """
    if isinstance(cell, str) and cell:
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError) as error:
            raise DataFileError(f"{place}: {column!r} is not JSON: {error}") from None
    if not cell:
        return None
    if not isinstance(cell, list) or not all(isinstance(tool, dict) for tool in cell):
        raise DataFileError(
            f"{place}: {column!r} must be a list of tools, not {type(cell).__name__}"
        )
    text = to_json(cell)
    check_encodable(place, column, text)
    return text


def check_encodable(place: str, column: str, text: str) -> None:
    """Refuse a text that no file or store can hold.

    Args:
        place: File and line of the row, for the error.
        column: Name of the column.
        text: The text.

    Raises:
        DataFileError: If the text holds half a surrogate pair; says where.
    """
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataFileError(
            f"{place}: {column!r} holds half a surrogate pair, which is no text, as character "
            f"{error.start + 1}; remove it, or write the whole character"
        ) from None


def _message(where: str, cell: Any) -> dict[str, Any]:
    fields = _fields(where, cell, FIELDS)
    role = fields.get("role")
    if role not in ROLES:
        raise DataFileError(f"{where} has the role {role!r}; use {', '.join(ROLES)}")
    message = {"role": role, "content": _content(where, fields)}
    message |= {name: fields[name] for name in TOOL_FIELDS if name in fields}
    if "tool_calls" in fields:
        message["tool_calls"] = _calls(where, fields["tool_calls"])
    return message


def _calls(where: str, calls: Any) -> list[dict[str, Any]]:
    """Return the tools that a message calls, each with its arguments as JSON text."""
    if not isinstance(calls, list):
        raise DataFileError(f"{where}: tool_calls must be a list, not {type(calls).__name__}")
    return [_call(f"{where}: call {n}", call) for n, call in enumerate(calls, 1)]


def _call(where: str, cell: Any) -> dict[str, Any]:
    fields = _fields(where, cell, CALL_FIELDS)
    function = _fields(f"{where}: function", fields.get("function"), FUNCTION_FIELDS)
    if not isinstance(function.get("name"), str):
        raise DataFileError(f"{where} names no function")
    arguments = function.get("arguments", {})
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    check_encodable(where, "arguments", text)
    return {**fields, "function": {"name": function["name"], "arguments": text}}


def _fields(where: str, cell: Any, known: Sequence[str]) -> dict[str, Any]:
    """Return the fields that are not null; Parquet adds null for those that only others have."""
    if not isinstance(cell, Mapping):
        kind = "nothing" if cell is None else type(cell).__name__
        raise DataFileError(f"{where} must hold {' and '.join(known[:2])}, not {kind}")
    fields = {name: part for name, part in cell.items() if part is not None}
    if unknown := [name for name in fields if name not in known]:
        raise DataFileError(f"{where} has a field {unknown[0]!r}; use {', '.join(known)}")
    return fields


def _content(where: str, fields: Mapping[str, Any]) -> str | None:
    content = fields.get("content")
    if content is None and fields.get("tool_calls"):
        return None
    if isinstance(content, list):
        content = "".join(_part(where, part) for part in content)
    if not isinstance(content, str):
        raise DataFileError(f"{where} must hold a text as content, not {type(content).__name__}")
    check_encodable(where, "content", content)
    return content


def _part(where: str, part: Any) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
    text = part.get("text") if isinstance(part, Mapping) else None
    if kind != TEXT_PART or not isinstance(text, str):
        raise DataFileError(
            f"{where} holds a part of the type {kind!r}; only text can be read, so leave such rows "
            "out (images, audio and files are not supported)"
        )
    return text
