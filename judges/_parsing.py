"""From what a model wrote to a verdict: the last label of a closed set, or none."""

import re
from collections.abc import Mapping, Sequence

SCALE = re.compile(r"(?:/|\bout of)\s*\d+")


def last_label(text: str, labels: Sequence[str]) -> str | None:
    """The label that stands last in the text as a word of its own; None where none does.

    The last one, for models reason first and conclude at the end. Case counts: the article "a" is
    not the label A. A grade's scale is not the grade ("4/5", "4 out of 5"), and neither are the
    digits of a larger number (10, 4.5).
    """
    alternatives = "|".join(re.escape(label) for label in labels)
    word = rf"(?<!\w)(?<!\d[.,])(?:{alternatives})(?!\w)(?![.,]\d)"
    found = re.findall(word, SCALE.sub("", text))
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
