"""Reads what a chat model wrote: its thoughts, and the answer after them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from transformers import PreTrainedTokenizerBase

from rlhf_core.models.turn_end import strip_end
from rlhf_core.text.thoughts import MARKS, split_thoughts, with_thoughts

UNCLOSED = "thinking"
"""Finish reason of an answer that ended before its thoughts did."""
_OPENINGS = tuple(opening for opening, _ in MARKS)
_BEGINNINGS = (*_OPENINGS, "<|channel|>final<|message|>")
"""The beginnings of answers with thoughts; a model of gpt-oss may begin its answer at once."""
_KEPT = re.compile(
    r"<\|(?:start|end|channel|message|START_THINKING|END_THINKING)\|>|\[/?THINK\]|<.*think.*>"
)
"""Special tokens that are needed to tell thoughts from the answer."""
_CHANNELS = re.compile(r"<\|end\|>(?:<\|start\|>assistant)?|<\|(?:start|channel|message)\|>")
_TAIL = 16
"""Number of the prompt's last tokens that may open thoughts."""


@dataclass(frozen=True)
class ReadAnswer:
    """An answer as judges see it, and the thoughts before it."""

    text: str
    """The answer without thoughts; empty if they never ended."""
    reasoning: str | None
    """None of an answer without thoughts."""
    finish_reason: str
    """The sampler's, or `thinking` if the model ended before its thoughts did."""
    is_lost: bool = False
    """True if the thoughts never ended, so that there is no answer."""

    @property
    def whole(self) -> str:
        """The thoughts between marks and the answer after them, as parsers of replies read them."""
        if self.is_lost:
            return f"{MARKS[0][0]}\n{self.reasoning or ''}"
        return with_thoughts(self.reasoning or "", self.text)


class AnswerReader:
    """Reads the answers of one model.

    Args:
        tokenizer: The model's tokenizer.
        ends: Ids of the tokens that end an answer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ends: frozenset[int]) -> None:
        self.tokenizer, self.ends = tokenizer, ends
        special = set(tokenizer.all_special_ids)
        names = tokenizer.convert_ids_to_tokens(list(special))
        self._special = dict(zip(special, names, strict=True))
        self._has_channels = "<|channel|>" in names

    def read(
        self, prompt: Sequence[int], answer: Sequence[int], finish_reason: str = "eos"
    ) -> ReadAnswer:
        """Return an answer and its thoughts.

        Args:
            prompt: Tokens of the prompt, which may open the thoughts.
            answer: Tokens that the model wrote.
            finish_reason: Why it stopped: eos or length.
        """
        ids = strip_end(answer, self.ends)
        whole = f"{self.opened(prompt)}{self._decode(ids)}".lstrip()
        if not whole.startswith(_BEGINNINGS):
            text = str(self.tokenizer.decode(ids, skip_special_tokens=True))
            return ReadAnswer(text.strip(), None, finish_reason)
        thoughts, text = split_thoughts(whole)
        text = self._without_channels(text)
        reasoning = self._without_channels(thoughts) or None
        is_lost = not text and not _is_closed(whole)
        if is_lost and finish_reason == "eos":
            finish_reason = UNCLOSED
        return ReadAnswer(text, reasoning, finish_reason, is_lost)

    def opened(self, prompt: Sequence[int]) -> str:
        """Return the mark with which a prompt opens thoughts; empty if it opens none."""
        end = str(self.tokenizer.decode(list(prompt[-_TAIL:]))).rstrip()
        return next((opening for opening in _OPENINGS if end.endswith(opening)), "")

    def _decode(self, ids: Sequence[int]) -> str:
        """Return the text of some tokens, with those special ones that mark thoughts."""
        parts = []
        for name, group in groupby(ids, self._special.get):
            if name is None:
                parts.append(str(self.tokenizer.decode(list(group))))
            elif _KEPT.fullmatch(name):
                parts.append(name)
        return "".join(parts)

    def _without_channels(self, text: str) -> str:
        return (_CHANNELS.sub("", text) if self._has_channels else text).strip()


def _is_closed(text: str) -> bool:
    return any(closing in text for _, closing in MARKS)
