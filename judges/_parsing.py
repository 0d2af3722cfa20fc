"""From what a model wrote to a verdict: the last label of a closed set, or none."""

import re
from collections.abc import Mapping, Sequence


def last_label(text: str, labels: Sequence[str]) -> str | None:
    """The label that stands last in the text as a word of its own; None where none does.

    The last one, for models reason first and conclude at the end. Case counts: the article "a"
    is not the label A.
    """
    alternatives = "|".join(re.escape(label) for label in labels)
    found = re.findall(rf"(?<![\w])(?:{alternatives})(?![\w])", text)
    return found[-1] if found else None


def label_probability(probabilities: Mapping[str, float], first: str, second: str) -> float | None:
    """P(first) / (P(first) + P(second)) from the probabilities of next tokens.

    Tokens count for a label whatever space is around them. None where neither was seen.
    """
    mass = {label: 0.0 for label in (first, second)}
    for token, probability in probabilities.items():
        if token.strip() in mass:
            mass[token.strip()] += probability
    total = mass[first] + mass[second]
    return mass[first] / total if total > 0 else None
