"""Rewordings: changes of an answer's form that keep its meaning, each by fixed rules.

Each goes in one direction, such as from contractions to whole words. A rewording that swapped both
would disturb an answer with contractions and one without alike, and so show nothing.

Words are English. Code and JSON are left as they are, since their form is their meaning.
"""

import json
import re
from collections.abc import Callable, Mapping

from rlhf_core.text.scripts import script_of

CLOSED = "closing"
CLOSING = "That is the whole answer."
"""A neutral sentence, which adds nothing."""
SYNONYMS = {
    "therefore": "thus",
    "for example": "for instance",
    "although": "though",
    "because": "since",
    "in order to": "to",
    "perhaps": "maybe",
    "however": "nevertheless",
    "furthermore": "moreover",
    "usually": "normally",
    "often": "frequently",
    "nearly": "almost",
    "until": "till",
    "due to": "owing to",
    "prior to": "before",
    "is able to": "can",
    "are able to": "can",
    "a number of": "several",
}
"""Function words and adverbs, and others that can stand in their place."""
NOT_SYNONYMS = {"because": " of"}
"""Words that may not follow, since the two would mean something else."""
LONG = {
    "won't": "will not",
    "can't": "cannot",
    "shan't": "shall not",
    "let's": "let us",
    **{
        f"{verb}n't": f"{verb} not"
        for verb in (
            *("do", "does", "did", "is", "are", "was", "were", "has", "have", "had"),
            *("would", "could", "should", "must", "need"),
        )
    },
    **{
        f"{word}'{ending}": f"{word} {verb}"
        for words, ending, verb in (
            (("you", "we", "they"), "re", "are"),
            (("i", "you", "we", "they"), "ve", "have"),
            (("i", "you", "he", "she", "it", "we", "they", "that", "there"), "ll", "will"),
            (("i",), "m", "am"),
        )
        for word in words
    },
}
"""Contractions that have one meaning; 's and 'd have several."""
SHORT = {
    **{long: short for short, long in LONG.items() if long.endswith(" not")},
    "cannot": "can't",
    **{
        f"{word} {verb}": f"{word}'{ending}"
        for words, ending, verb in (
            (("you", "we", "they"), "re", "are"),
            (("it", "he", "she", "that", "there"), "s", "is"),
            (("i", "you", "he", "she", "it", "we", "they"), "ll", "will"),
            (("i",), "m", "am"),
        )
        for word in words
    },
}
"""Words that are contracted if another follows: "Yes, it is." stays."""

_FENCE = re.compile(r"^\s*(?:```|~~~)", re.MULTILINE)
_MARKUP = (
    (re.compile(r"^[ \t]*#{1,6}[ \t]+", re.MULTILINE), ""),
    (re.compile(r"^[ \t]*(?:[-*+•]|\d{1,2}[.)])[ \t]+(?=\S)", re.MULTILINE), ""),
    (re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1"), r"\2"),
    (re.compile(r"(?<=\S)[ \t]{2,}"), " "),
    (re.compile(r"[ \t]+$", re.MULTILINE), ""),
    (re.compile(r"\n{2,}"), "\n"),
)


def rewordings(text: str, is_finished: bool = True) -> dict[str, str]:
    """Return an answer reworded in each way that changes it, by the rewording's name.

    Args:
        text: The answer.
        is_finished: False for an answer that was cut off, which no sentence can close.
    """
    if not text.strip() or _is_code(text):
        return {}
    names = [name for name in REWORDINGS if is_finished or name != CLOSED]
    changed = {name: REWORDINGS[name](text) for name in names}
    return {name: new for name, new in changed.items() if new != text}


def expand(text: str) -> str:
    """Return a text without contractions: "don't" becomes "do not"."""
    return _LONG(text)


def contract(text: str) -> str:
    """Return a text with contractions: "do not" becomes "don't"."""
    return _SHORT(text)


def replace_synonyms(text: str) -> str:
    """Return a text with other function words: "for example" becomes "for instance"."""
    return _SYNONYMS(text)


def plain_layout(text: str) -> str:
    """Return a text without headings, bullets, numbers of lists, bold, and empty lines."""
    for pattern, plain in _MARKUP:
        text = pattern.sub(plain, text)
    return text.strip()


def add_closing_sentence(text: str) -> str:
    """Return a text with a neutral closing sentence; unchanged unless it is in Latin letters."""
    if script_of(text) != "Latin":
        return text
    end = text.rstrip()
    return f"{end}{'' if end[-1] in '.!?:;)' else '.'} {CLOSING}"


def _is_code(text: str) -> bool:
    if _FENCE.search(text):
        return True
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _replacing(table: Mapping[str, str], before: str = "") -> Callable[[str], str]:
    """Return a function that replaces the words of a table, and keeps a capital at the beginning.

    Args:
        table: Words in lower case, and what replaces each.
        before: Pattern that has to follow each word.
    """
    longest = sorted(table, key=len, reverse=True)
    words = (
        word.replace("'", "['’]") + (f"(?!{NOT_SYNONYMS[word]})" if word in NOT_SYNONYMS else "")
        for word in longest
    )
    pattern = re.compile(rf"(?<![\w'’])(?:{'|'.join(words)})(?![\w'’]){before}", re.IGNORECASE)

    def replaced(match: re.Match[str]) -> str:
        old = match.group()
        new = table[old.lower().replace("’", "'")]
        return new[0].upper() + new[1:] if old[0].isupper() else new

    return lambda text: pattern.sub(replaced, text)


_LONG = _replacing(LONG)
_SHORT = _replacing(SHORT, r"(?=\s+[A-Za-z])")
_SYNONYMS = _replacing(SYNONYMS)

REWORDINGS: Mapping[str, Callable[[str], str]] = {
    "whole_words": expand,
    "contractions": contract,
    "synonyms": replace_synonyms,
    "plain_layout": plain_layout,
    CLOSED: add_closing_sentence,
}
"""All rewordings, by name."""
