"""Cutting texts: into sentences, and into chunks of sentences that overlap."""

from collections.abc import Callable, Sequence

import regex

ABBREVIATIONS = (
    *("mr", "mrs", "ms", "dr", "prof", "rev", "gen", "col", "capt", "lt", "sgt", "gov", "sen"),
    *("rep", "st", "jr", "sr", "inc", "ltd", "co", "corp", "vs", "etc", "no", "fig", "eq", "al"),
    *("e.g", "i.e", "cf", "approx", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep"),
    *("sept", "oct", "nov", "dec"),
)
"""After which a full stop ends no sentence. `etc.` and the months do so at times; a sentence too
long costs less than one cut in two."""
BOUNDARY = regex.compile(
    r"(?<=[.!?…][\"'”’)\]]*)\s+(?=[\"'“‘(\[]*[\p{Lu}\p{N}])|(?<=[。！？])\s*|\s*\n\s*\n\s*"
)
LAST_WORD = regex.compile(r"([\p{L}.]+)\.$")
INITIALS = regex.compile(r"(\p{L}\.)+\p{L}")
OVERLAP_SENTENCES = 1
"""Shared by a chunk and the next, so that what `he` is can be read in both."""


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, in order, without the space between them.

    A boundary is a full stop, question or exclamation mark before a capital letter or a digit, or
    an empty line; not after a known abbreviation or a single letter.
    """
    sentences: list[str] = []
    for piece in BOUNDARY.split(text.strip()):
        if sentences and _is_abbreviated(sentences[-1]):
            sentences[-1] = f"{sentences[-1]} {piece}"
        elif piece:
            sentences.append(piece)
    return sentences


def _is_abbreviated(sentence: str) -> bool:
    found = LAST_WORD.search(sentence)
    if found is None:
        return False
    word = found.group(1).lower()
    return len(word) == 1 or word in ABBREVIATIONS or bool(INITIALS.fullmatch(word))


def chunks(sentences: Sequence[str], limit: int, length: Callable[[str], int]) -> list[str]:
    """Runs of sentences of at most `limit`, each but the first beginning where the last ended.

    Args:
        sentences: In order. One longer than the limit is a chunk by itself.
        limit: Of a chunk, in what `length` counts.
        length: Of a sentence, as in tokens.
    """
    found: list[list[str]] = []
    current: list[str] = []
    lengths = {sentence: length(sentence) for sentence in sentences}
    for sentence in sentences:
        if current and sum(lengths[s] for s in current) + lengths[sentence] > limit:
            found.append(current)
            kept = current[-OVERLAP_SENTENCES:]
            fits = sum(lengths[s] for s in kept) + lengths[sentence] <= limit
            current = kept if fits and len(current) > OVERLAP_SENTENCES else []
        current = [*current, sentence]
    if current:
        found.append(current)
    return [" ".join(run) for run in found]
