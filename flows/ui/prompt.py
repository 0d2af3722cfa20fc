"""A prompt on a page: its text, or the turns of a conversation with their speakers."""

from collections.abc import Sequence

from flows.ui.parts import box, words
from rlhf_core.records.conversation import USER
from rlhf_core.records.turns import Turn


def draw_prompt(text: str, context: str | None, turns: Sequence[Turn]) -> None:
    """Draw a prompt.

    Args:
        text: The prompt's text.
        context: The text that it is about, if any.
        turns: Its turns, if it is a conversation; drawn in place of the text.
    """
    if context:
        words("pre", context, "text context")
    if not turns:
        words("pre", text, "text prompt")
        return
    with box("div", "turns"):
        for turn in turns:
            with box("section", "turn asked" if turn.speaker == USER else "turn"):
                words("h3", turn.speaker)
                words("pre", turn.text, "text")
