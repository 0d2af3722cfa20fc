"""The writing system of a text, by its letters: a rough sign of its language."""

from collections import Counter

import regex

SCRIPTS = (
    *("Latin", "Cyrillic", "Greek", "Arabic", "Hebrew", "Devanagari", "Bengali", "Tamil", "Telugu"),
    *("Thai", "Hangul", "Han", "Hiragana", "Katakana", "Georgian", "Armenian", "Ethiopic"),
)
KANA = ("Hiragana", "Katakana")
JAPANESE = "Japanese"
OTHER, NONE = "other", "none"

_LETTERS = regex.compile(
    "|".join(rf"(?P<{script}>\p{{Script={script}}}+)" for script in SCRIPTS)
    + rf"|(?P<{OTHER}>\p{{L}})"
)


def script_of(text: str) -> str:
    """Return the script with the most letters in a text.

    Returns:
        The script's name in Unicode; Japanese if there is any kana beside the Han characters,
        `other` for a script that is not listed, and `none` without letters.
    """
    counts: Counter[str] = Counter()
    for match in _LETTERS.finditer(text):
        counts[match.lastgroup or OTHER] += len(match[0])
    if any(counts[kana] for kana in KANA):
        counts[JAPANESE] = sum(counts.pop(script, 0) for script in (*KANA, "Han"))
    return counts.most_common(1)[0][0] if counts else NONE
