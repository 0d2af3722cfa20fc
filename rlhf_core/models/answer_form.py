"""The text that a chat template writes around an answer, which a demonstration teaches."""

import re
from dataclasses import dataclass
from itertools import takewhile

from transformers import PreTrainedTokenizerBase

from rlhf_core.models.chat_template import ChatTemplate, TemplateRefusal
from rlhf_core.models.marks import any_of, slot
from rlhf_core.records.conversation import ASSISTANT, USER
from rlhf_core.text.thoughts import MARKS

_ASKED = {"role": USER, "content": slot(0)}
_ANSWERED = {"role": ASSISTANT, "content": slot(1)}


@dataclass(frozen=True)
class AnswerForm:
    """The text between the user's message and an answer, and the text after it."""

    asked: str = ""
    """The end of a prompt, after the user's text: the model's answer begins there."""
    opening: str = ""
    """The text between the user's message and an answer that a conversation holds."""
    begins: str = ""
    """The text of the opening that a model writes itself, such as empty thoughts."""
    closing: str = ""
    """The text after an answer that a conversation ends with."""
    end: str = ""
    """The closing up to the token that ends the answer; empty if it has none."""


def read_answer_form(template: ChatTemplate) -> AnswerForm:
    """Return the form of answers in a chat template.

    It is empty without a template, or if the template renders no answer.
    """
    if not template.is_known:
        return AnswerForm(asked="\n\n", opening="\n\n")
    try:
        asked = _after(template.render([_ASKED]), 0)
        has_prompt = asked != _after(template.render([_ASKED], asks=False), 0)
        opening, closing = _around(template.render([_ASKED, _ANSWERED], asks=False))
    except (TemplateRefusal, ValueError):
        return AnswerForm()
    end = _end(template.tokenizer, closing, _followed(template))
    return AnswerForm(asked, opening, _begins(asked, opening, has_prompt), closing, end)


def _after(rendered: str, number: int) -> str:
    if slot(number) not in rendered:
        raise ValueError("the template leaves the text out")
    return rendered.rpartition(slot(number))[2]


def _around(rendered: str) -> tuple[str, str]:
    """Return the text between question and answer, and the text after the answer."""
    opening, closing = _after(rendered, 0).split(slot(1))
    return opening, closing


def _followed(template: ChatTemplate) -> str | None:
    """Return the text between an answer and the user's next message; None if refused."""
    try:
        rendered = template.render([_ASKED, _ANSWERED, {"role": USER, "content": slot(2)}])
        return _after(rendered, 1).split(slot(2))[0]
    except (TemplateRefusal, ValueError):
        return None


def _begins(asked: str, opening: str, has_prompt: bool) -> str:
    """Return the part of the opening that a model writes.

    Args:
        asked: The end of a prompt, after the user's text.
        opening: The text before an answer that a conversation holds.
        has_prompt: False if the template never writes the beginning of the assistant's turn by
            itself. The model then answers without one.
    """
    if opening.startswith(asked):
        written = opening[len(asked) :]
        return written if has_prompt or written.isspace() else ""
    opened = next((mark for mark in MARKS if asked.rstrip().endswith(mark[0])), None)
    if opened is None:
        return ""
    # The prompt opens thoughts. An answer without any closes them at once.
    return f"\n{opened[1]}\n\n"


def _end(tokenizer: PreTrainedTokenizerBase, closing: str, followed: str | None) -> str:
    """Return the closing up to the token that ends an answer.

    Args:
        tokenizer: Its added tokens may end an answer.
        closing: The text after the last answer of a conversation. A template may write the end of
            text after the end of the turn.
        followed: The text between an answer and the next message. What both begin with belongs to
            the answer: one token, or several in a row.
    """
    names = [token.content for token in tokenizer.added_tokens_decoder.values()]
    ends = any_of(name for name in names if not name.isspace())
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(closing, followed or "", strict=False))
    shared = "".join(letter for letter, _ in alike)
    first = ends.search(shared)
    if first is None:
        alone = ends.search(closing)
        return closing[: alone.end()] if alone else ""
    run = re.compile(rf"(?:{ends.pattern})+").match(shared, first.start())
    assert run is not None, "the first mark of the run stands there"
    return shared[: run.end()]
