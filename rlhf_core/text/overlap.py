"""How far a text agrees with a reference: words in common, the last number."""

import string
from collections import Counter
from typing import TYPE_CHECKING

import regex

if TYPE_CHECKING:
    pass

NUMBER = regex.compile(r"[-+]?\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?")
ARTICLES = regex.compile(r"\b(a|an|the)\b")


def normalise(text: str) -> list[str]:
    """Words in lower case without punctuation and articles (arXiv:1606.05250, its own script)."""
    lowered = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return ARTICLES.sub(" ", lowered).split()


def exact_match(text: str, reference: str) -> float:
    return float(normalise(text) == normalise(reference))


def contains(text: str, reference: str) -> float | None:
    """1 where the reference's words stand in the text in a row; None where it has none."""
    words, wanted = normalise(text), normalise(reference)
    if not wanted:
        return None
    starts = range(len(words) - len(wanted) + 1)
    return float(any(words[start : start + len(wanted)] == wanted for start in starts))


def token_f1(text: str, reference: str) -> float:
    """Harmonic mean of token precision and recall; 1 where both are empty."""
    words, wanted = normalise(text), normalise(reference)
    if not words or not wanted:
        return float(words == wanted)
    shared = sum((Counter(words) & Counter(wanted)).values())
    return 2 * shared / (len(words) + len(wanted))


def last_number(text: str) -> float | None:
    """The last number in a text; thousands separators are read over."""
    found = NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None
