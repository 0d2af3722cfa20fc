"""Two answers side by side, with the words marked that only one of them has."""

import re
from difflib import SequenceMatcher

from markupsafe import Markup

from flows.terminal.screen import safe_text

MOST_WORDS = 3000
"""Most words of both texts together; comparing takes time by the product of their lengths."""
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")


def mark_differences(first: str, second: str) -> tuple[Markup, Markup] | None:
    """Return both texts as escaped HTML with differing parts in <mark>, or None if too long.

    Spaces count: an indented line differs from the same line without indent.
    """
    one, other = _WORDS.findall(safe_text(first)), _WORDS.findall(safe_text(second))
    if len(one) + len(other) > MOST_WORDS:
        return None
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    left, right = Markup(), Markup()
    for kind, i, j, m, n in matcher.get_opcodes():
        is_same = kind == "equal"
        left += _part(one[i:j], is_same)
        right += _part(other[m:n], is_same)
    return left, right


def _part(words: list[str], is_same: bool) -> Markup:
    text = "".join(words)
    if is_same or not text:
        return Markup.escape(text)
    return Markup("<mark>{}</mark>").format(text)
