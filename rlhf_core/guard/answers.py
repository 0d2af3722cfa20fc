"""Answers as the guard reads them, and their words."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_WORDS = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff]"  # scripts without spaces: each sign is a word
    r"|[^\W_\u3040-\u30ff\u3400-\u9fff]+(?:['’][^\W_]+)?"
)
_WORDS_AND_MARKS = re.compile(_WORDS.pattern + r"|[^\w\s]|_")


@dataclass(frozen=True)
class GuardedAnswer:
    """One answer, of the policy or of the model that the training began from."""

    id: str
    """Id of the rollout or of the candidate."""
    prompt_id: str
    prompt: str
    text: str
    tokens: int
    surprisal: float = math.nan
    """Sum of −log p over its tokens, in nats; NaN if it is not known. Its mean a token estimates
    the entropy that the answer was sampled at."""
    reward: float = math.nan
    """NaN without a score."""
    kl: float = 0.0
    """KL from the reference, in nats."""
    held_out_gain: float = math.nan
    """Gain by the held-out judge: its score less the mean score of baseline answers to the prompt,
    or its probability that the answer is better than one of them, less one half. NaN without an
    opinion."""
    addends: Mapping[str, float] = field(default_factory=dict)
    """Addend of each part of a mixed reward, by name; none if a part has no score."""
    disagreement: float = math.nan
    """Deviation of the reward model's heads on it; NaN if unknown."""
    distance: float = math.nan
    """Distance from the nearest answer that the reward model learnt from; NaN if unknown."""


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation."""
    return _WORDS.findall(text.lower())


def words_and_marks(text: str) -> list[str]:
    """Return the words of a text in lower case, and every other visible character by itself."""
    return _WORDS_AND_MARKS.findall(text.lower())
