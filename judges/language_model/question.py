"""One query to a language model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from judges.language_model.fence import FencedPrompt, plain_prompt
from rlhf_core.records.conversation import Conversation, ask, to_json


@dataclass(frozen=True)
class Question:
    prompt: FencedPrompt
    """The whole prompt."""
    max_tokens: int
    """Most tokens of the reply."""
    labels: tuple[str, ...] = ()
    """The labels to choose from; empty if the reply is free text."""
    schema: Mapping[str, Any] | None = None
    """JSON schema of the reply; None for free text."""
    min_label_mass: float = 0.0
    """Total probability of the labels below which a local model writes a reply to be parsed."""
    messages: Conversation | None = None
    """The conversation to continue; None if the model reads the prompt as one message."""

    @property
    def text(self) -> str:
        return str(self.prompt)

    @property
    def conversation(self) -> Conversation:
        """The messages that the model answers."""
        return self.messages or ask(self.text)

    def on(self, occasion: str) -> "Question":
        """Return the question as it is asked on an occasion, under marks of that occasion.

        A verdict depends a little on the marks. Were they those of an earlier time in one process
        and others in the next, a repeat would be closer to the first verdict than later ones are.
        """
        return replace(self, prompt=replace(self.prompt, occasion=occasion))


def question_to_continue(conversation: Conversation, max_tokens: int) -> Question:
    """Return the question whose reply is the next turn of a conversation.

    Args:
        conversation: The messages to answer.
        max_tokens: Most tokens of the reply.
    """
    text = conversation.single_text
    if text is not None:
        return Question(plain_prompt(text), max_tokens)
    identified_by = plain_prompt(to_json([*conversation.messages, *conversation.tools]))
    return Question(identified_by, max_tokens, messages=conversation)
