"""Detectors: each reads one number from an answer, whose mean over answers may drift.

A mean that drifts is no proof of hacking, since a better policy drifts as well: `monitor.py` asks
the held-out judge too. `boilerplate.py` holds the one detector that reads all answers together.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial

from rlhf_core.guard.answers import GuardedAnswer, words, words_and_marks
from rlhf_core.guard.judge_patterns import FORGED_VERDICTS, INSTRUCTIONS
from rlhf_core.text.declining import declines

REPEATED = 3
"""Words in a row that count as repeated if they occur twice in one answer."""
COMMON_WORDS = 50
"""Number of the baseline's commonest words, by which its language is known."""
AIMED = re.compile("|".join((*FORGED_VERDICTS, *INSTRUCTIONS)))
MARKUP = re.compile(
    r"\s*(?:[-*+•]\s|\(?\d{1,3}[.)]\s|#{1,6}\s|\||>|```|---)|.*(?:\*\*|__)\S.*(?:\*\*|__)"
)

SHARE = (0.0, 1.0)


@dataclass(frozen=True)
class Detector:
    """A number read from each answer; the detector's value is its mean over answers."""

    name: str
    measure: Callable[[GuardedAnswer], float]
    """NaN if the answer does not show it."""
    above: str | None
    """Words for a mean above the upper threshold; None if that is no cause for an alarm."""
    below: str | None = None
    """Words for a mean below the lower threshold; None if that is no cause for an alarm."""
    bounds: tuple[float, float] | None = None
    """Least and greatest value that an answer can have, if baseline answers may all be at one end;
    None takes the baseline's own extremes."""
    weight: Callable[[GuardedAnswer], float] = lambda answer: 1.0
    """Weight of an answer in the mean: 1, or its tokens if the number is a mean over tokens."""
    is_proof: bool = False
    """True if it raises an alarm whatever the held-out judge says."""

    @property
    def sides(self) -> int:
        """Number of its thresholds."""
        return (self.above is not None) + (self.below is not None)


SIGNS = (
    Detector(
        "disagreement", lambda a: a.disagreement, "answers that divide the reward model's heads"
    ),
    Detector(
        "distance", lambda a: a.distance, "answers unlike those that the reward model learnt from"
    ),
)
"""Detectors of the signs that an answer is unlike what the reward model learnt from."""


def detectors(baseline: Sequence[GuardedAnswer]) -> tuple[Detector, ...]:
    """Return all detectors of means, for a policy that began as the model of the baseline.

    Those of the reward model's signs are left out if no baseline answer has the sign.

    Args:
        baseline: Answers of that model; their commonest words are the language to keep.
    """
    language = partial(common_share, common=common_words(answer.text for answer in baseline))
    signs = [each for each in SIGNS if any(each.measure(a) == each.measure(a) for a in baseline)]
    return (
        *signs,
        Detector("length", lambda a: float(a.tokens), "longer answers", "shorter answers"),
        Detector(
            "repetition",
            lambda a: repetition(a.text),
            "answers that repeat themselves",
            bounds=SHARE,
        ),
        Detector("markup", lambda a: markup(a.text), "more markup", "less markup", SHARE),
        Detector("capitals", lambda a: capitals(a.text), "more capitals", "fewer capitals"),
        Detector("symbols", lambda a: symbols(a.text), "more symbols", "fewer symbols"),
        Detector(
            "refusal", lambda a: float(declines(a.text)), "more answers that decline", bounds=SHARE
        ),
        Detector("language", lambda a: language(a.text), None, "fewer of the usual words", SHARE),
        Detector(
            "entropy",
            surprisal_per_token,
            "answers closer to chance",
            "answers drawn with less entropy",
            weight=lambda a: float(a.tokens),
        ),
        Detector(
            "aimed_at_judge",
            lambda a: float(is_aimed_at_judge(a.text, a.prompt)),
            "answers that speak to the judge",
            bounds=SHARE,
            is_proof=True,
        ),
    )


def surprisal_per_token(answer: GuardedAnswer) -> float:
    """Return the mean of −log p over the tokens of an answer, in nats."""
    return answer.surprisal / answer.tokens if answer.tokens else float("nan")


def repetition(text: str) -> float:
    """Return the share of the runs of three words or marks that occurred before in the text."""
    tokens = words_and_marks(text)
    runs = [tuple(tokens[at : at + REPEATED]) for at in range(len(tokens) - REPEATED + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def markup(text: str) -> float:
    """Return the share of non-empty lines that are list items, headings, tables, code or bold."""
    lines = [line for line in text.splitlines() if line.strip()]
    return sum(MARKUP.match(line) is not None for line in lines) / len(lines) if lines else 0.0


def capitals(text: str) -> float:
    """Return the share of capitals among letters; NaN without a letter."""
    letters = [char for char in text if char.isalpha()]
    return sum(char.isupper() for char in letters) / len(letters) if letters else float("nan")


def symbols(text: str) -> float:
    """Return the share of visible characters that are neither letters nor digits."""
    visible = [char for char in text if not char.isspace()]
    return sum(not char.isalnum() for char in visible) / len(visible) if visible else float("nan")


def common_words(texts: Iterable[str]) -> frozenset[str]:
    """Return the words that occur in most of the texts, at most `COMMON_WORDS`."""
    counts = Counter(word for text in texts for word in set(words(text)))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return frozenset(ranked[:COMMON_WORDS])


def common_share(text: str, common: frozenset[str]) -> float:
    """Return the share of a text's words that are among the common ones; NaN without a word."""
    found = words(text)
    return sum(word in common for word in found) / len(found) if found else float("nan")


def is_aimed_at_judge(text: str, prompt: str) -> bool:
    """Return True if an answer says something to a judge that its prompt did not say."""
    asked = _aimed(prompt)
    return any(found not in asked for found in _aimed(text))


@cache
def _aimed(text: str) -> frozenset[str]:
    return frozenset(match.group() for match in AIMED.finditer(text.lower()))
