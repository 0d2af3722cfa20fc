r"""Messages written as one text, with `\n\nHuman: ` and `\n\nAssistant: ` (arXiv:2204.05862)."""

from collections.abc import Sequence

from rlhf_core.records.conversation import ASSISTANT, USER, Message, words_of

HUMAN_TURN, ASSISTANT_TURN = "\n\nHuman:", "\n\nAssistant:"


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
