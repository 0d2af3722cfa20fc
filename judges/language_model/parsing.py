"""The parser of verdicts: it reads a label of a closed set, and its place, from a model's reply."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rlhf_core.text.thoughts import blank_out_thoughts

PARSER = "4"
"""Version of the parser and part of every judge's version. Change it with every edit here and in
choice.py that changes verdicts."""
SCALE = re.compile(r"(?:/|\bout of)\s*\d+")
STATED = (
    r"{label}\W{{0,4}} (?i:is|was|seems) (?i:\w+ly |the |a |much )*"
    r"(?i:better|best|superior|preferred)\b",
    r"\b(?i:better|best|superior|preferred|winning) (?i:\w+ )?(?i:is|one is|one:)"
    r"\W{{1,4}}{label}",
    r"\b(?i:choose|prefer|pick|select|go with|favou?r)\W{{1,4}}{label}",
    r"\b(?i:answer|verdict|winner|choice|decision|conclusion|preference|grade|score)(?i: is)?"
    r"\W{{1,6}}{label}",
    r"^[^\w\n]{{0,9}}{alone}[^\w\n]{{0,9}}$",
    r"\A[^\w\n]{{0,9}}{label}(?=[^\w\s,/]|,(?!\s*(?i:no)\b)|\s+(?i:because|since)\b)",
)
"""Patterns of sentences that state a verdict; `not better` states none."""
TIED = (
    r"\b(?i:equally (?:good|bad|well|helpful|correct|valid)|"
    r"no (?:clear|significant|real) (?:winner|difference)|(?:a|is) tie)\b"
)
VERBS = (
    "is|was|has|does|gives|provides|answers|explains|seems|would|wins|because|since|as|over|than|"
    "for|and|or|but|which|by|in|on|to|due|out"
)
"""Words that may follow the label A; before any other word, "A" is an article."""
DENIED = r"(?!\W{1,4}(?i:is|was)(?i:n't| not| worse)\b)"
"""Words that must not follow a label that stands alone: they deny it."""


@dataclass(frozen=True)
class ParsedVerdict:
    """A verdict that was read from a text."""

    label: str
    place: int | None
    """Index of the label's first character; None for a tie that is stated in other words."""


def parse_verdict(
    text: str, labels: Sequence[str], tie: str | None = None, is_cut: bool = False
) -> ParsedVerdict | None:
    """Return the last verdict that a text states or, if it states none, the last label it names.

    Reasoning names labels before and after the verdict: "A is better. … B is too long." says A.

    Args:
        text: The model's reply.
        labels: The possible verdicts.
        tie: The label for "both are equally good", if that is a verdict too.
        is_cut: True if the text was cut off; the last label named in it is then no verdict.

    Returns:
        The verdict and its place; None if the text has none.
    """
    labels = labels if tie is None else (*labels, tie)
    text = _blank_out(SCALE, blank_out_thoughts(text))
    label, alone = _word(labels, True, not is_cut), _word(labels, True, True)
    stated = [pattern.format(label=label, alone=alone) for pattern in STATED]
    if tie is not None:
        stated.append(TIED)
    matches = list(re.finditer("|".join(stated), text, re.MULTILINE))
    if not matches:
        return None if is_cut else find_last_label(text, labels)
    last = matches[-1]
    group = next(((n, g) for n, g in enumerate(last.groups(), 1) if g is not None), None)
    if group is None:
        return ParsedVerdict(str(tie), None)
    number, word = group
    return ParsedVerdict(_by_spelling(labels)[word.casefold()], last.start(number))


def find_last_label(text: str, labels: Sequence[str]) -> ParsedVerdict | None:
    """Return the last label that stands in the text as a separate word; None if there is none.

    Case counts: the article "a" is not the label A. A grade's scale is not the grade ("4/5", "4
    out of 5"), and neither are the digits of a larger number (10, 4.5).
    """
    word = rf"(?<!\b[Nn]ot ){_word(labels, False, False)}{DENIED}"
    matches = list(re.finditer(word, _blank_out(SCALE, text)))
    return ParsedVerdict(matches[-1][1], matches[-1].start(1)) if matches else None


def _blank_out(pattern: re.Pattern[str], text: str) -> str:
    """Return the text with each match replaced by spaces, so that places in it stay the same."""
    return pattern.sub(lambda match: " " * len(match[0]), text)


def _by_spelling(labels: Sequence[str]) -> dict[str, str]:
    return {label.casefold(): label for label in labels}


def _word(labels: Sequence[str], any_case: bool, small_letters: bool) -> str:
    """Return a regular expression group that matches one of the labels as a word.

    Args:
        labels: The labels to match.
        any_case: True if words count in any case, but "no" not before a word that it belongs to.
        small_letters: True if "a" counts as A at the end of a line.
    """
    longest_first = sorted(labels, key=len, reverse=True)
    alternatives = "|".join(_spelled(label, any_case, small_letters) for label in longest_first)
    return rf"(?<!\w)(?<!\d[.,])({alternatives})(?!\w)(?![.,]\d)"


def _spelled(label: str, any_case: bool, small_letters: bool) -> str:
    exact = re.escape(label)
    if label == "A":
        exact += rf"(?![ \t]+(?!(?:{VERBS})\b)[a-z])"
    if len(label) == 1 and label.isalpha():
        return rf"{exact}|{label.lower()}(?=[^\w\n]*$)" if small_letters else exact
    if not any_case or not label.isalpha():
        return exact
    return rf"{exact}|(?i:{re.escape(label)})(?![ \t]+[a-z])"
