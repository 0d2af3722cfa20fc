"""How likely each label is at the place of a verdict, over all the ways in which it is spelt."""

from collections.abc import Mapping, Sequence

LEADING = " \t\r\n\u00a0\u2581\"'`“”‘’«»„()[]{}*_#"
"""Marks that may stand before a label: spaces, quotes, brackets, markdown."""
TRAILING = LEADING + ".,:;!"


def bare(token: str) -> str:
    """A token without the marks around it, in lower case: ` (A)` and `**a` are both `a`."""
    return token.lstrip(LEADING).rstrip(TRAILING).casefold()


def label_mass(
    alternatives: Mapping[str, float], labels: Sequence[str], tie: str | None, chosen: str
) -> dict[str, float]:
    """Probability of each label, from the alternatives of one token.

    Where the tokenizer splits labels, so that the token that was chosen is only the beginning of
    one, other beginnings count for the label that they are the beginning of.

    Args:
        alternatives: Probability of each token that could have stood there.
        labels: What could be answered.
        tie: The label by which a model says that all labels are alike; it counts for each in part.
        chosen: The token that stands there.
    """
    wanted = labels if tie is None else (*labels, tie)
    folded = {label.casefold(): label for label in wanted}
    mass = dict.fromkeys(wanted, 0.0)
    is_split = bool(bare(chosen)) and bare(chosen) not in folded
    for token, probability in alternatives.items():
        spelt = bare(token)
        if spelt in folded:
            mass[folded[spelt]] += probability
        elif is_split and spelt:
            begun = [label for word, label in folded.items() if word.startswith(spelt)]
            if len(begun) == 1:
                mass[begun[0]] += probability
    if tie is not None:
        share = mass.pop(tie) / len(labels)
        mass = {label: found + share for label, found in mass.items()}
    return mass
