"""Splitting of texts into sentences, and into overlapping chunks of sentences."""

from collections.abc import Callable, Sequence

import regex

ABBREVIATIONS = (
    *("mr", "mrs", "ms", "dr", "prof", "rev", "gen", "col", "capt", "lt", "sgt", "gov", "sen"),
    *("rep", "st", "jr", "sr", "inc", "ltd", "co", "corp", "vs", "etc", "no", "fig", "eq", "al"),
    *("e.g", "i.e", "cf", "approx", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep"),
    *("sept", "oct", "nov", "dec"),
)
"""Words after which a full stop does not end a sentence. `etc.` and months sometimes do end one,
but a sentence too long costs less than one cut in two."""
BOUNDARY = regex.compile(
    r"(?<=[.!?…][\"'”’)\]]*)\s+(?=[\"'“‘(\[]*[\p{Lu}\p{N}])|(?<=[。！？])\s*|\s*\n\s*\n\s*"
)
LAST_WORD = regex.compile(r"([\p{L}.]+)\.$")
INITIALS = regex.compile(r"(\p{L}\.)+\p{L}")
OVERLAP_SENTENCES = 1
"""Sentences that two adjacent chunks share, so that `he` can be resolved in both."""


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text, in order, without the space between them.

    A boundary is a full stop, question or exclamation mark before a capital letter or a digit, or
    an empty line, except after a known abbreviation or a single letter.
    """
    sentences: list[str] = []
    for piece in BOUNDARY.split(text.strip()):
        if sentences and _is_abbreviated(sentences[-1]):
            sentences[-1] = f"{sentences[-1]} {piece}"
        elif piece:
            sentences.append(piece)
    return sentences


def _is_abbreviated(sentence: str) -> bool:
    match = LAST_WORD.search(sentence)
    if match is None:
        return False
    word = match.group(1).lower()
    return len(word) == 1 or word in ABBREVIATIONS or bool(INITIALS.fullmatch(word))


def chunks(sentences: Sequence[str], limit: int, length: Callable[[str], int]) -> list[str]:
    """Join sentences into chunks of at most `limit`; adjacent chunks share a sentence if it fits.

    Args:
        sentences: Sentences in order. One that is longer than the limit is a chunk by itself.
        limit: Longest chunk, in the unit of `length`.
        length: Returns the length of a sentence, for example in tokens.

    Returns:
        The chunks, in order.
    """
    runs: list[list[str]] = []
    current: list[str] = []
    lengths = {sentence: length(sentence) for sentence in sentences}
    for sentence in sentences:
        if current and sum(lengths[s] for s in current) + lengths[sentence] > limit:
            runs.append(current)
            kept = current[-OVERLAP_SENTENCES:]
            fits = sum(lengths[s] for s in kept) + lengths[sentence] <= limit
            current = kept if fits and len(current) > OVERLAP_SENTENCES else []
        current = [*current, sentence]
    if current:
        runs.append(current)
    return [" ".join(run) for run in runs]
