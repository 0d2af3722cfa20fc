"""Conversations as people and judges read them: turn by turn, each with its speaker."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rlhf_core.records.conversation import (
    Conversation,
    Message,
    Tool,
    ask,
    from_json,
    to_json,
    without_instructions,
)

TOOLS, CALLS = "tools that the assistant may call", "calls of the assistant"
EXAMPLE = "example: "
"""Comes before the speaker of a worked example."""


@dataclass(frozen=True)
class Turn:
    speaker: str
    """The role of the message, or what else the text is: TOOLS or CALLS."""
    text: str


def turns_of(conversation: Conversation) -> list[Turn]:
    """Return the tools and turns of a conversation; calls of tools are turns of their own."""
    return [*_tools(conversation.tools), *_turns(conversation.messages)]


def turns_to_show(
    text: str, messages: str | None, few_shot: str | None, tools: str | None
) -> list[Turn]:
    """Return the turns of a stored prompt; none if its text alone says all.

    Args:
        text: The prompt's text.
        messages: Its messages as the store keeps them.
        few_shot: Its worked examples.
        tools: Its tools.
    """
    if not (messages or few_shot or tools):
        return []
    examples = [Turn(f"{EXAMPLE}{one.speaker}", one.text) for one in _turns(from_json(few_shot))]
    read = from_json(messages) or ask(text).messages
    asked = without_instructions(read)
    instructions = read[: len(read) - len(asked)]
    return [*_tools(from_json(tools)), *_turns(instructions), *examples, *_turns(asked)]


def _tools(tools: Sequence[Tool]) -> Iterator[Turn]:
    if tools:
        yield Turn(TOOLS, to_json(tools))


def _turns(messages: Sequence[Message]) -> Iterator[Turn]:
    for message in messages:
        calls = message.get("tool_calls")
        if message["content"] or not calls:
            yield Turn(message["role"], message["content"] or "")
        if calls:
            yield Turn(CALLS, to_json(calls))
