"""From what a model wrote to a verdict: a label of a closed set and where it stands, or none."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

PARSER = "3"
"""Changed by hand with everything here and in _choice.py that changes verdicts; part of every
judge's version."""
SCALE = re.compile(r"(?:/|\bout of)\s*\d+")
THOUGHT = re.compile(r"\A(?:(?!<think>).)*</think>|<think>.*?(?:</think>|\Z)", re.DOTALL)
"""What a reasoning model thinks before it answers; a template may have opened it."""
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
"""How models state a verdict; `not better` is none of them."""
TIED = (
    r"\b(?i:equally (?:good|bad|well|helpful|correct|valid)|"
    r"no (?:clear|significant|real) (?:winner|difference)|(?:a|is) tie)\b"
)
VERBS = (
    "is|was|has|does|gives|provides|answers|explains|seems|would|wins|because|since|as|over|than|"
    "for|and|or|but|which|by|in|on|to|due|out"
)
"""What may follow the letter A that is a label; before any other word it is an article."""
DENIED = r"(?!\W{1,4}(?i:is|was)(?i:n't| not| worse)\b)"
"""Not behind a label that is named alone."""


@dataclass(frozen=True)
class Stated:
    """A verdict in a text."""

    label: str
    place: int | None
    """Where the label stands; None for a tie that is stated in other words."""


def stated_verdict(
    text: str, labels: Sequence[str], tie: str | None = None, is_cut: bool = False
) -> Stated | None:
    """The last stated verdict, or where none is stated, the last label named.

    Reasoning names labels before and after the verdict: "A is better. … B is too long." says A.

    Args:
        text: What a model wrote.
        labels: The verdicts there are.
        tie: The label for "both are equally good", where that is a verdict too.
        is_cut: Whether the text is not whole. The last label named in half a text is no verdict.
    """
    labels = labels if tie is None else (*labels, tie)
    text = _blanked(SCALE, _blanked(THOUGHT, text))
    label, alone = _word(labels, True, not is_cut), _word(labels, True, True)
    stated = [pattern.format(label=label, alone=alone) for pattern in STATED]
    if tie is not None:
        stated.append(TIED)
    found = list(re.finditer("|".join(stated), text, re.MULTILINE))
    if not found:
        return None if is_cut else last_label(text, labels)
    said = next(((n, g) for n, g in enumerate(found[-1].groups(), 1) if g is not None), None)
    if said is None:
        return Stated(str(tie), None)
    number, word = said
    return Stated(_by_spelling(labels)[word.casefold()], found[-1].start(number))


def last_label(text: str, labels: Sequence[str]) -> Stated | None:
    """The label that stands last in the text as a word of its own; None where none does.

    Case counts: the article "a" is not the label A. A grade's scale is not the grade ("4/5", "4
    out of 5"), and neither are the digits of a larger number (10, 4.5).
    """
    word = rf"(?<!\b[Nn]ot ){_word(labels, False, False)}{DENIED}"
    found = list(re.finditer(word, _blanked(SCALE, text)))
    return Stated(found[-1][1], found[-1].start(1)) if found else None


def _blanked(pattern: re.Pattern[str], text: str) -> str:
    """The text with spaces in place of what matches, so that places in it stay the same."""
    return pattern.sub(lambda found: " " * len(found[0]), text)


def _by_spelling(labels: Sequence[str]) -> dict[str, str]:
    return {label.casefold(): label for label in labels}


def _word(labels: Sequence[str], any_case: bool, small_letters: bool) -> str:
    """A group that matches one of the labels as a word; the longer ones first.

    Args:
        labels: What to look for.
        any_case: Whether words count in any case; "no" does not before a word that it belongs to.
        small_letters: Whether "a" counts as A where a line ends behind it.
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
