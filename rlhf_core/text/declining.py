"""Detection of answers that decline to answer, by their words; a pure function of the text.

This is unrelated to a judge's outcome `abstains`, which means that the judge has no opinion.
"""

import re
from collections.abc import Sequence

from rlhf_core.text.declining_words import ENGLISH, FILLERS, GUESSES, OTHERS, TURNS

READ_CHARACTERS = 2000
"""Characters that are read: an abstention is at the beginning of an answer."""
SHORT_WORDS = 4
"""Words of a sentence that is short enough to name an answer after "I don't know."."""

ABSTENTION = re.compile("|".join([*ENGLISH, *(p for found in OTHERS.values() for p in found)]))
TURN, GUESS, FILLER = re.compile(TURNS), re.compile(GUESSES), re.compile(FILLERS)
CONCESSION = re.compile(r"\b(?:though|although|even if|if|when|that|whether|because|while)\W*$")
ANSWERED = re.compile(r"^(?:yes|no|ja|nein|nee|oui|non|sí|sì|sim|não|да|нет)\s*[,:–—-]")
QUOTED = re.compile(
    r"\"[^\"]*\"|“[^”]*”|«[^»]*»|„[^“”]*[“”]|「[^」]*」|『[^』]*』|(?<!\w)'[^']*'(?!\w)"
)
SENTENCE_END = re.compile(r"[.!]+(?=\s|$)|(?<=\?)\s+|[。！？!；;\n]+")


def declines(text: str) -> bool:
    """Return True for "I don't know", but not for "I don't know why, but it is blue".

    An empty answer declines. A hedge ("I'm not sure, I think it is 5") is an answer, and so are a
    denial ("there is no evidence that it works") and a statement that somebody else does not know.
    """
    if not text.strip():
        return True
    sentences = _sentences(text[:READ_CHARACTERS])
    if any(GUESS.search(sentence) and not _is_abstention(sentence) for sentence in sentences):
        return False
    telling = [
        sentence for sentence in sentences if _is_abstention(sentence) or not _fills(sentence)
    ]
    if not telling or not _is_abstention(telling[0]):
        return False
    return all(_is_abstention(s) or len(s.split()) > SHORT_WORDS for s in telling)


def abstention_rate(answers: Sequence[str], are_answerable: Sequence[bool]) -> float | None:
    """Return the share of answerable questions that were declined; None if there are none.

    Args:
        answers: One answer a question.
        are_answerable: True for each question whose reference gives an answer.

    Raises:
        ValueError: If the two differ in length.
    """
    answerable = [
        a for a, is_answerable in zip(answers, are_answerable, strict=True) if is_answerable
    ]
    return sum(declines(answer) for answer in answerable) / len(answerable) if answerable else None


def _sentences(text: str) -> list[str]:
    plain = text.lower().replace("’", "'").replace("‘", "'").strip()
    if QUOTED.fullmatch(plain):
        plain = plain[1:-1]
    parts = SENTENCE_END.split(QUOTED.sub(" ", plain))
    return [part.strip(" \t\r,:*-–—…") for part in parts if part and re.search(r"\w", part)]


def _is_abstention(sentence: str) -> bool:
    if sentence.endswith("?") and not sentence.startswith("who knows"):
        return False
    for match in ABSTENTION.finditer(sentence):
        before = sentence[: match.start()]
        if CONCESSION.search(before) or GUESS.search(before) or ANSWERED.search(before):
            continue
        return not _turns(sentence[match.start() :])
    return False


def _turns(rest: str) -> bool:
    """Return True if an answer follows the abstention."""
    turn = TURN.search(rest)
    if turn is None:
        return bool(GUESS.search(rest))
    after = rest[turn.end() :].strip(" ,")
    return bool(after) and not FILLER.search(after) and not _is_abstention(after)


def _fills(sentence: str) -> bool:
    return bool(FILLER.search(sentence)) or sentence.endswith("?")
