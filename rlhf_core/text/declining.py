"""Whether an answer declines to answer, by its words; a pure function of the text.

Not to be mixed up with a judge's own outcome `abstains`: there the judge has no opinion.
"""

import re
from collections.abc import Sequence

from rlhf_core.text.declining_words import ENGLISH, FILLERS, GUESSES, OTHERS, TURNS

READ_CHARACTERS = 2000
"""An abstention opens an answer; what stands after these is not read."""
SHORT_WORDS = 4
"""A sentence this short after "I don't know." names an answer."""

ABSTENTION = re.compile("|".join([*ENGLISH, *(p for found in OTHERS.values() for p in found)]))
TURN, GUESS, FILLER = re.compile(TURNS), re.compile(GUESSES), re.compile(FILLERS)
CONCESSION = re.compile(r"\b(?:though|although|even if|if|when|that|whether|because|while)\W*$")
ANSWERED = re.compile(r"^(?:yes|no|ja|nein|nee|oui|non|sí|sì|sim|não|да|нет)\s*[,:–—-]")
QUOTED = re.compile(
    r"\"[^\"]*\"|“[^”]*”|«[^»]*»|„[^“”]*[“”]|「[^」]*」|『[^』]*』|(?<!\w)'[^']*'(?!\w)"
)
SENTENCE_END = re.compile(r"[.!]+(?=\s|$)|(?<=\?)\s+|[。！？!；;\n]+")


def declines(text: str) -> bool:
    """Whether the answer gives none: "I don't know", but not "I don't know why, but it is blue".

    An empty answer gives none. A hedge ("I'm not sure, I think it is 5") is an answer, and so are a
    denial ("there is no evidence that it works") and what somebody else does not know.
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
    """Share of the questions with an answer on which none was given; None without such questions.

    Args:
        answers: One a question.
        are_answerable: Whether its reference gives an answer.

    Raises:
        ValueError: If they are not equally many.
    """
    asked = [a for a, is_answerable in zip(answers, are_answerable, strict=True) if is_answerable]
    return sum(declines(answer) for answer in asked) / len(asked) if asked else None


def _sentences(text: str) -> list[str]:
    plain = text.lower().replace("’", "'").replace("‘", "'").strip()
    if QUOTED.fullmatch(plain):
        plain = plain[1:-1]
    parts = SENTENCE_END.split(QUOTED.sub(" ", plain))
    return [part.strip(" \t\r,:*-–—…") for part in parts if part and re.search(r"\w", part)]


def _is_abstention(sentence: str) -> bool:
    if sentence.endswith("?") and not sentence.startswith("who knows"):
        return False
    for found in ABSTENTION.finditer(sentence):
        before = sentence[: found.start()]
        if CONCESSION.search(before) or GUESS.search(before) or ANSWERED.search(before):
            continue
        return not _turns(sentence[found.start() :])
    return False


def _turns(rest: str) -> bool:
    """Whether an answer follows after all."""
    found = TURN.search(rest)
    if found is None:
        return bool(GUESS.search(rest))
    after = rest[found.end() :].strip(" ,")
    return bool(after) and not FILLER.search(after) and not _is_abstention(after)


def _fills(sentence: str) -> bool:
    return bool(FILLER.search(sentence)) or sentence.endswith("?")
