"""The probability of each label at the verdict's token, summed over all its spellings."""

from collections.abc import Mapping, Sequence

SPACES = {"\u2581": " ", "\u0120": " ", "\u010a": "\n"}
"""Spaces as tokenizers spell them inside (`▁A`, `ĠA`, `Ċ`), by what they stand for."""
LEADING = " \t\r\n\u00a0\"'`“”‘’«»„()[]{}*_#" + "".join(SPACES)
"""Characters that may precede a label: spaces, quotes, brackets, markdown."""
TRAILING = LEADING + ".,:;!"


def bare_token(token: str) -> str:
    """Return a token in lower case without punctuation around it: ` (A)` and `**a` give `a`."""
    return token.lstrip(LEADING).rstrip(TRAILING).casefold()


def label_mass(
    alternatives: Mapping[str, float], labels: Sequence[str], tie: str | None, chosen: str
) -> dict[str, float]:
    """Return the probability of each label, from the alternatives of one token.

    If the tokenizer splits labels, so that the chosen token is only the beginning of one, each
    alternative that begins exactly one label counts for that label.

    Args:
        alternatives: Probability of each token that could have been chosen.
        labels: The labels the model could choose from.
        tie: The label that stands for a tie; its probability is divided among the labels.
        chosen: The token that was chosen.

    Returns:
        The probability by label, without the tie; the sum is at most 1.
    """
    wanted = labels if tie is None else (*labels, tie)
    folded = {label.casefold(): label for label in wanted}
    mass = dict.fromkeys(wanted, 0.0)
    is_split = bool(bare_token(chosen)) and bare_token(chosen) not in folded
    for token, probability in alternatives.items():
        spelt = bare_token(token)
        if spelt in folded:
            mass[folded[spelt]] += probability
        elif is_split and spelt:
            begun = [label for word, label in folded.items() if word.startswith(spelt)]
            if len(begun) == 1:
                mass[begun[0]] += probability
    if tie is not None:
        share = mass.pop(tie) / len(labels)
        mass = {label: own + share for label, own in mass.items()}
    return mass
