"""One question to a language model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    text: str
    """The whole prompt."""
    max_tokens: int
    """Length of the answer."""
    labels: tuple[str, ...] = ()
    """What may be answered, for a choice; empty where the model may write what it likes."""
