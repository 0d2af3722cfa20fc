"""A model's message as servers spell it: text or parts, with thoughts, and log-probabilities."""

import codecs
import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field

from rlhf_core.text.thoughts import split_thoughts

TokenChoice = tuple[str, dict[str, float]]
"""A token of a reply, and the probabilities of its alternatives."""
ANSWER_PARTS = ("text", "output_text")
"""Types of the parts of a message that belong to the answer."""


class ReplyMessage(BaseModel):
    """A message; parts of other types than text hold the model's thoughts."""

    content: str | list[dict[str, Any]] | None = None
    reasoning: Any = None
    reasoning_content: Any = None
    refusal: str | None = None
    tool_calls: Any = None

    @property
    def thoughts_and_answer(self) -> tuple[str, str]:
        """The model's thoughts, wherever the server put them, and its answer."""
        parts = self.content if isinstance(self.content, list) else []
        answer = self.content if isinstance(self.content, str) else ""
        answer += "".join(_text(part) for part in parts if part.get("type") in ANSWER_PARTS)
        within, answer = split_thoughts(answer)
        apart = [part for part in parts if part.get("type") not in ANSWER_PARTS]
        beside = self.reasoning_content or self.reasoning
        thoughts = ["".join(_texts(beside)), "".join(_texts(apart)), within]
        return "\n".join(filter(None, map(str.strip, thoughts))), answer


def _text(part: dict[str, Any]) -> str:
    text = part.get("text")
    return text if isinstance(text, str) else ""


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in thoughts of any form."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        for key in ("text", "thinking", "reasoning", "summary"):
            yield from _texts(value.get(key))


class _Alternative(BaseModel):
    token: str
    logprob: Annotated[float | None, Field(le=1.0)]  # rounding may raise it above 0; NaN fails


class _Position(BaseModel):
    token: str = ""
    logprob: Annotated[float | None, Field(le=1.0)] = None
    bytes: list[int] | None = None
    top_logprobs: list[_Alternative] | None = None

    @property
    def probabilities(self) -> dict[str, float]:
        """The probability of each alternative, summed over entries with the same text.

        A server may list one text several times, for different bytes, and may leave the chosen
        token out of its alternatives.
        """
        probabilities: dict[str, float] = {}
        for entry in self.top_logprobs or ():
            probabilities[entry.token] = probabilities.get(entry.token, 0.0) + _exp(entry.logprob)
        if self.token and self.logprob is not None:
            probabilities.setdefault(self.token, _exp(self.logprob))
        return probabilities


def _exp(logprob: float | None) -> float:
    """Return a probability; servers that cannot write minus infinity send null."""
    return 0.0 if logprob is None else math.exp(min(logprob, 0.0))


class Logprobs(BaseModel):
    content: list[_Position] | None = None

    @property
    def tokens(self) -> tuple[TokenChoice, ...]:
        """Each token with its alternatives; empty if the server sent no alternatives at all."""
        positions = self.content or ()
        if not any(position.probabilities for position in positions):
            return ()
        texts = _token_texts(positions)
        return tuple((text, p.probabilities) for text, p in zip(texts, positions, strict=True))


def _token_texts(positions: Sequence[_Position]) -> list[str]:
    """Return the text of each token; a character in several tokens belongs to the last of them."""
    if any(position.bytes is None for position in positions):
        return [position.token for position in positions]
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    return [decoder.decode(bytes(position.bytes or ())) for position in positions]
