"""One question to a language model."""

from dataclasses import dataclass

from judges.language_model.fence import Fenced


@dataclass(frozen=True)
class Question:
    prompt: Fenced
    """The whole prompt."""
    max_tokens: int
    """Length of the answer."""
    labels: tuple[str, ...] = ()
    """What may be answered, for a choice; empty where the model may write what it likes."""
    min_label_mass: float = 0.0
    """Probability of all labels together below which a local model's words are read instead."""

    @property
    def text(self) -> str:
        return str(self.prompt)
