"""Rules that can be checked: exact match, numbers, a pattern, token overlap with the reference."""

import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

import regex
from pydantic import model_validator

from judges._base import Answer, Opinion, PointwiseJudge, abstains, scored
from rlhf_core.config import Settings
from rlhf_core.config.tree import PositiveFloat
from rlhf_core.records import Outcome

NUMBER = regex.compile(r"[-+]?\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?")
ARTICLES = regex.compile(r"\b(a|an|the)\b")
PATTERN_TIMEOUT_SECONDS = 1.0


class VerifierOptions(Settings):
    metric: Literal["exact", "numeric", "regex", "token_f1"] = "token_f1"
    """exact and token_f1 normalise as SQuAD does; numeric compares the last number of each text."""
    pattern: str | None = None
    """For regex: what the answer must contain."""
    tolerance: PositiveFloat = 1e-6
    """For numeric: allowed difference, relative to the reference where that is above 1."""

    @model_validator(mode="after")
    def _pattern_fits(self) -> "VerifierOptions":
        if (self.metric == "regex") != (self.pattern is not None):
            raise ValueError("`pattern` belongs to metric: regex, and that metric needs one")
        if self.pattern is not None:
            try:
                regex.compile(self.pattern)
            except regex.error as error:
                raise ValueError(f"pattern is no regular expression: {error}") from None
        return self


class VerifierJudge(PointwiseJudge[VerifierOptions]):
    Options = VerifierOptions
    code = "1"

    def score(self, answers: Sequence[Answer]) -> list[Opinion]:
        if self.options.metric == "regex":
            return [self._matches(answer.text) for answer in answers]
        return [self._against_references(answer) for answer in answers]

    def _against_references(self, answer: Answer) -> Opinion:
        compare: dict[str, Callable[[str, str], float | None]] = {
            "exact": exact_match,
            "numeric": self._same_number,
            "token_f1": token_f1,
        }
        metric = compare[self.options.metric]
        found = [metric(answer.text, reference) for reference in answer.prompt.reference_answers]
        scores = [score for score in found if score is not None]
        if not scores:
            return abstains("the prompt has no reference answer this metric can use")
        return scored(max(scores))

    def _same_number(self, text: str, reference: str) -> float | None:
        wanted, given = last_number(reference), last_number(text)
        if wanted is None:
            return None
        allowed = self.options.tolerance * max(1.0, abs(wanted))
        return float(given is not None and abs(given - wanted) <= allowed)

    def _matches(self, text: str) -> Opinion:
        try:
            found = regex.search(self.options.pattern or "", text, timeout=PATTERN_TIMEOUT_SECONDS)
        except TimeoutError:
            return Opinion(Outcome.UNAVAILABLE, reason="the pattern took longer than a second")
        return scored(float(found is not None), raw_output=found.group() if found else None)


def normalise(text: str) -> list[str]:
    """Words in lower case without punctuation and articles (arXiv:1606.05250, its own script)."""
    lowered = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return ARTICLES.sub(" ", lowered).split()


def exact_match(text: str, reference: str) -> float:
    return float(normalise(text) == normalise(reference))


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


JUDGE = VerifierJudge
