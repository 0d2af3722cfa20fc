"""From what a model wrote to a verdict: a label of a closed set, or none."""

import re
from collections.abc import Mapping, Sequence

PARSER = "2"
"""Changed by hand with everything here that changes verdicts; part of every judge's version."""
SCALE = re.compile(r"(?:/|\bout of)\s*\d+")
STATED = (
    r"{label}\W{{0,4}} (?:is|was|seems) (?:\w+ly |the |a |much )*"
    r"(?:better|best|superior|preferred)\b",
    r"\b(?:better|best|superior|preferred|winning) (?:\w+ )?(?:is|one is|one:)\W{{1,4}}{label}",
    r"\b(?:choose|prefer|pick|select|go with|favou?r)\W{{1,4}}{label}",
    r"\b(?:answer|verdict|winner|choice|decision|conclusion|preference)(?: is)?\W{{1,6}}{label}",
    r"^[^\w\n]{{0,9}}{label}[^\w\n]{{0,9}}$",
)
"""How models state a verdict; `not better` is none of them."""
TIED = (
    r"\b(?:equally (?:good|bad|well|helpful|correct|valid)|"
    r"no (?:clear|significant|real) (?:winner|difference)|(?:a|is) tie)\b"
)


def verdict_label(text: str, labels: Sequence[str], tie: str | None = None) -> str | None:
    """The label of the last stated verdict, or where none is stated, the last label named.

    Reasoning names labels before and after the verdict: "A is better. … B is too long." says A.

    Args:
        text: What a model wrote.
        labels: The verdicts there are.
        tie: The label for "both are equally good", where that is a verdict too.
    """
    labels = labels if tie is None else (*labels, tie)
    label = _word(labels)
    stated = [pattern.format(label=label) for pattern in STATED]
    if tie is not None:
        stated.append(TIED)
    found = list(re.finditer("|".join(stated), SCALE.sub("", text), re.MULTILINE))
    if not found:
        return last_label(text, labels)
    return next((group for group in found[-1].groups() if group is not None), tie)


def last_label(text: str, labels: Sequence[str]) -> str | None:
    """The label that stands last in the text as a word of its own; None where none does.

    Case counts: the article "a" is not the label A. A grade's scale is not the grade ("4/5", "4
    out of 5"), and neither are the digits of a larger number (10, 4.5).
    """
    found = re.findall(_word(labels), SCALE.sub("", text))
    return found[-1] if found else None


def label_probabilities(
    tokens: Mapping[str, float], labels: Sequence[str]
) -> dict[str, float] | None:
    """Probability of each label among the labels, from the probabilities of next tokens.

    Tokens count for a label whatever space is around them. None where no label was seen.
    """
    mass = dict.fromkeys(labels, 0.0)
    for token, probability in tokens.items():
        if token.strip() in mass:
            mass[token.strip()] += probability
    total = sum(mass.values())
    return {label: share / total for label, share in mass.items()} if total > 0 else None


def _word(labels: Sequence[str]) -> str:
    """A group that matches one of the labels as a word; the longer ones first."""
    longest_first = sorted(labels, key=len, reverse=True)
    alternatives = "|".join(re.escape(label) for label in longest_first)
    return rf"(?<!\w)(?<!\d[.,])({alternatives})(?!\w)(?![.,]\d)"
