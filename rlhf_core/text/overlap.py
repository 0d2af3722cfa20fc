"""Overlap of a text with a reference: words in common."""

import string
from collections import Counter

import regex

ARTICLES = regex.compile(r"\b(a|an|the)\b")


def normalise(text: str) -> list[str]:
    """Return words in lower case without punctuation and articles (script of arXiv:1606.05250)."""
    lowered = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return ARTICLES.sub(" ", lowered).split()


def exact_match(text: str, reference: str) -> float:
    return float(normalise(text) == normalise(reference))


def contains(text: str, reference: str) -> float | None:
    """Return 1 if the text contains the reference's words in a row; None if it has no words."""
    words, wanted = normalise(text), normalise(reference)
    if not wanted:
        return None
    starts = range(len(words) - len(wanted) + 1)
    return float(any(words[start : start + len(wanted)] == wanted for start in starts))


def token_f1(text: str, reference: str) -> float:
    """Return the harmonic mean of token precision and recall; 1 if both texts are empty."""
    words, wanted = normalise(text), normalise(reference)
    if not words or not wanted:
        return float(words == wanted)
    shared = sum((Counter(words) & Counter(wanted)).values())
    return 2 * shared / (len(words) + len(wanted))
