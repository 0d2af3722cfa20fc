"""One query to a language model."""

from dataclasses import dataclass

from judges.language_model.fence import FencedPrompt


@dataclass(frozen=True)
class Question:
    prompt: FencedPrompt
    """The whole prompt."""
    max_tokens: int
    """Most tokens of the reply."""
    labels: tuple[str, ...] = ()
    """The labels to choose from; empty if the reply is free text."""
    min_label_mass: float = 0.0
    """Total probability of the labels below which a local model writes a reply to be parsed."""

    @property
    def text(self) -> str:
        return str(self.prompt)
