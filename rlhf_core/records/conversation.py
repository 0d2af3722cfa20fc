"""Conversations: the messages that a model reads, in the format of OpenAI's chat completions."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SYSTEM, USER, ASSISTANT, TOOL = "system", "user", "assistant", "tool"
SYSTEM_ROLES = (SYSTEM, "developer")
"""Roles of messages that instruct the model; newer models of OpenAI call the role developer."""

Message = Mapping[str, Any]
"""`role`, `content` (a text; None in a message that only calls tools), and for tools `name`,
`tool_calls` and `tool_call_id`. The `function` of a call has `name` and, as JSON text, `arguments`.
"""
Tool = Mapping[str, Any]
"""A tool's description, with `type` and `function`."""


@dataclass(frozen=True)
class Conversation:
    """The messages that a model answers, and the tools that it may call."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()

    @property
    def single_text(self) -> str | None:
        """The text of a conversation that is one user message; None for any other."""
        if len(self.messages) > 1 or self.tools or self.messages[0]["role"] != USER:
            return None
        return str(self.messages[0]["content"])


def ask(text: str) -> Conversation:
    """Return the conversation that begins with a text of the user."""
    return Conversation(({"role": USER, "content": text},))


def with_system(messages: Sequence[Message], system_prompt: str | None) -> tuple[Message, ...]:
    """Return messages that begin with a system message, unless they have one of their own."""
    has_own = messages[0]["role"] in SYSTEM_ROLES
    if system_prompt is None or has_own:
        return tuple(messages)
    return ({"role": SYSTEM, "content": system_prompt}, *messages)


def with_context(messages: Sequence[Message], context: str | None) -> tuple[Message, ...]:
    """Return messages with a given text before the last message of the user."""
    if not context:
        return tuple(messages)
    last = _last_of_user(messages)
    read = {**messages[last], "content": f"{context}\n\n{messages[last]['content']}"}
    return (*messages[:last], read, *messages[last + 1 :])


def without_context(messages: Sequence[Message], context: str | None) -> tuple[Message, ...]:
    """Return messages without the text that `with_context` adds, if they hold it."""
    last = _last_of_user(messages)
    bare = str(messages[last]["content"]).removeprefix(f"{context}\n\n") if context else ""
    if not bare:
        return tuple(messages)
    return (*messages[:last], {**messages[last], "content": bare}, *messages[last + 1 :])


def with_few_shot(messages: Sequence[Message], examples: Sequence[Message]) -> tuple[Message, ...]:
    """Return messages with worked examples after those of the system at the start."""
    start = len(messages) - len(without_instructions(messages))
    return (*messages[:start], *examples, *messages[start:])


def without_few_shot(
    messages: Sequence[Message], examples: Sequence[Message]
) -> tuple[Message, ...]:
    """Return messages without the worked examples that `with_few_shot` adds, if they hold them."""
    start = len(messages) - len(without_instructions(messages))
    end = start + len(examples)
    held = tuple(messages[start:end]) == tuple(examples)
    return (*messages[:start], *messages[end if held else start :])


def without_instructions(messages: Sequence[Message]) -> Sequence[Message]:
    """Return messages without those of the system at the start."""
    start = next(
        (at for at, message in enumerate(messages) if message["role"] not in SYSTEM_ROLES),
        len(messages),
    )
    return messages[start:]


def with_texts(
    messages: Sequence[Message], change: Callable[[str], str]
) -> tuple[dict[str, Any], ...]:
    """Return messages with `change` applied to the text of each, and to what its calls pass on."""
    return tuple(_with_text(message, change) for message in messages)


def opening_of(messages: Sequence[Message]) -> str:
    """Return the words of the user's first message."""
    return next(words_of(message) for message in messages if message["role"] == USER)


def words_of(message: Message) -> str:
    """Return the text of a message, and the tools that it calls as JSON, one a line."""
    calls = [json.dumps(call, ensure_ascii=False) for call in message.get("tool_calls") or ()]
    return "\n".join([*([message["content"]] if message["content"] else []), *calls])


def _last_of_user(messages: Sequence[Message]) -> int:
    return max(at for at, message in enumerate(messages) if message["role"] == USER)


def _with_text(message: Message, change: Callable[[str], str]) -> dict[str, Any]:
    changed = {**message, "content": message["content"] and change(message["content"])}
    if calls := message.get("tool_calls"):
        changed["tool_calls"] = [_with_arguments(call, change) for call in calls]
    return changed


def _with_arguments(call: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """Return a call with `change` applied to its arguments, or to their text if it is no JSON."""
    function = call["function"]
    try:
        before = json.loads(function["arguments"])
    except ValueError:
        return {**call, "function": {**function, "arguments": change(function["arguments"])}}
    after = _with_leaves(before, change)
    if after == before:
        return dict(call)
    arguments = json.dumps(after, ensure_ascii=False)
    return {**call, "function": {**function, "arguments": arguments}}


def _with_leaves(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_with_leaves(one, change) for one in value]
    if isinstance(value, dict):
        return {name: _with_leaves(one, change) for name, one in value.items()}
    return value


def to_json(value: Sequence[Mapping[str, Any]]) -> str:
    """Return messages or tools as the store keeps them."""
    return json.dumps(list(value), ensure_ascii=False)


def from_json(text: str | None) -> tuple[dict[str, Any], ...]:
    """Return stored messages or tools; none for None."""
    return tuple(json.loads(text)) if text else ()
