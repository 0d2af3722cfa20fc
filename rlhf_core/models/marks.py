"""The marks with which a chat template opens and closes turns, and texts that spell them.

A mark is a token of its own, such as `<|im_end|>`, or ordinary words, such as `[INST]` or `USER:`.
In the texts of people and models the former is split into ordinary tokens. The latter cannot be
told apart from the template's, so a space is put before its last character.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import encode_marked_chat, mark_control_tokens

from rlhf_core.records.conversation import ASSISTANT, Message
from rlhf_core.text.thoughts import MARKS

SLOT = re.compile(r"solon-slot-\d+-")
_THOUGHTS = frozenset(chain.from_iterable(MARKS))
_BRACKETED = re.compile(r"<{1,2}[^<>\s]+>{1,2}|\[[^\[\]\s]+\]")
_WITH_COLON = re.compile(r"(?:\A|(?<=\n)|(?<=\s))(?P<mark>(?:#{1,6} )?\w[\w ]{0,30}:)\s*\Z")


def slot(number: int) -> str:
    """Return a text that stands for the text of a message; templates leave it as it is."""
    return f"solon-slot-{number}-"


class ChatMarks:
    """The marks of one chat template.

    Args:
        tokenizer: Its added tokens are marks if they are special or the template writes them.
        source: The text of the template.
        example: A conversation that the template rendered, with slots as texts.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, source: str, example: str) -> None:
        self.tokenizer = tokenizer
        tokens = [
            token.content
            for token in tokenizer.added_tokens_decoder.values()
            if _is_mark(token.content, token.special, source + example)
        ]
        self.ids = frozenset(
            number
            for number, token in tokenizer.added_tokens_decoder.items()
            if token.content in tokens and token.content not in _THOUGHTS
        )
        """Ids of the tokens that mark turns; marks of thoughts begin and end none."""
        self._tokens = any_of(tokens)
        self._tokens_but_thoughts = any_of(t for t in tokens if t not in _THOUGHTS)
        words = find_words(example, self._tokens)
        self.words = tuple(sorted(words))
        """Marks of ordinary tokens."""
        self._words = re.compile(
            "|".join(_as_pattern(word, words[word]) for word in longest_first(words)) or r"(?!)",
            re.MULTILINE | re.IGNORECASE,
        )

    def spells_words(self, text: str) -> bool:
        """Return True if a text spells a mark of ordinary tokens."""
        return self._words.search(text) is not None

    def guard(self, value: Any) -> Any:
        """Return a text, or a value with texts in it, that cannot open or close a turn.

        Special tokens stay in it, wrapped for `encode`.
        """
        return self._guard(value, self._tokens)

    def guard_tokens(self, text: str) -> str:
        """Return a text whose special tokens are wrapped for `encode`; words stay as they are."""
        return str(mark_control_tokens(text, self._tokens))

    def guard_message(self, message: Message) -> Message:
        """Return a message whose texts cannot open or close a turn; the assistant may think."""
        is_own = message["role"] == ASSISTANT
        tokens = self._tokens_but_thoughts if is_own else self._tokens
        return {
            name: part if name == "role" else self._guard(part, tokens)
            for name, part in message.items()
        }

    def _guard(self, value: Any, tokens: re.Pattern[str]) -> Any:
        if isinstance(value, str):
            apart = self._words.sub(lambda match: f"{match[0][:-1]} {match[0][-1]}", value)
            return mark_control_tokens(apart, tokens)
        if isinstance(value, Mapping):
            return {self._guard(k, tokens): self._guard(v, tokens) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self._guard(part, tokens) for part in value]
        return value

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a rendered text; what `guard` wrapped becomes ordinary tokens."""
        if _WRAPPING in text or _WRAPPED in text:
            return list(encode_marked_chat(self.tokenizer, text))
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def encode_after(self, before: str, text: str) -> list[int]:
        """Return the tokens of a text that stands after another.

        Args:
            before: The end of the text before it. SentencePiece writes a space before a text that
                stands alone.
            text: The text.
        """
        for context in (before, "\n"):
            start, both = self.encode(context), self.encode(context + text)
            if start and both[: len(start)] == start:
                return both[len(start) :]
        return self.encode(text)

    def of_turns(self, ids: Iterable[int]) -> list[int]:
        """Return those of some tokens that mark turns, in their order."""
        return [token for token in ids if token in self.ids]


_WRAPPING, _WRAPPED = mark_control_tokens(".", re.compile(r"\.")).split(".")


def any_of(texts: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that matches any of some texts, the longest first; none matches nothing."""
    return re.compile("|".join(map(re.escape, longest_first(texts))) or r"(?!)")


def longest_first(texts: Iterable[str]) -> list[str]:
    return sorted(texts, key=lambda text: (-len(text), text))


def find_words(example: str, tokens: re.Pattern[str]) -> dict[str, bool]:
    """Return the marks of ordinary tokens that a rendered conversation writes around its slots.

    Args:
        example: A conversation that the template rendered, with slots as texts.
        tokens: Matches the marks that are tokens of their own.

    Returns:
        True for each mark that begins a line wherever it stands, else False.
    """
    words: dict[str, bool] = {}
    between = SLOT.split(example)
    for piece in between:
        parts = tokens.split(piece)
        found = [match for part in parts for match in _BRACKETED.findall(part)]
        found += [match["mark"] for match in _WITH_COLON.finditer(parts[-1])]
        for word in found:
            starts = all(
                place == 0 or example[place - 1] == "\n" for place in _places(example, word)
            )
            words[word] = starts and word.endswith(":")
    return words


def _places(text: str, word: str) -> Sequence[int]:
    return [match.start() for match in re.finditer(re.escape(word), text)]


def _as_pattern(word: str, begins_line: bool) -> str:
    before = r"^[ \t]*" if begins_line else (r"(?<!\w)" if word[0].isalnum() else "")
    return before + re.escape(word)


def _is_mark(token: str, is_special: bool, written: str) -> bool:
    if token.isspace():
        return False
    return is_special or (token in written and not token.isalnum())
