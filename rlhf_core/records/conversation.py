"""Conversations: the messages that a model reads, in the format of OpenAI's chat completions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SYSTEM, USER, ASSISTANT, TOOL = "system", "user", "assistant", "tool"
SYSTEM_ROLES = (SYSTEM, "developer")
"""Roles of messages that instruct the model; newer models of OpenAI call the role developer."""

Message = Mapping[str, Any]
"""`role`, `content` (a text; None in a message that only calls tools), and for tools `name`,
`tool_calls` and `tool_call_id`."""
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
    last = max(at for at, message in enumerate(messages) if message["role"] == USER)
    read = {**messages[last], "content": f"{context}\n\n{messages[last]['content']}"}
    return (*messages[:last], read, *messages[last + 1 :])


def to_json(value: Sequence[Mapping[str, Any]]) -> str:
    """Return messages or tools as the store keeps them."""
    return json.dumps(list(value), ensure_ascii=False)


def from_json(text: str | None) -> tuple[dict[str, Any], ...]:
    """Return stored messages or tools; none for None."""
    return tuple(json.loads(text)) if text else ()
