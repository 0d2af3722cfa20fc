"""What some models do to their logits after the output embedding: scale them, and cap them softly.

Granite and Cohere scale, Gemma 2 caps. Solon makes logits from hidden states by itself, so it does
the same; `Trunk` refuses a model that does anything else.
"""

from dataclasses import dataclass

from torch import Tensor
from transformers import PreTrainedModel


@dataclass(frozen=True)
class LogitRule:
    """z = c · tanh(s x / c), or s x where there is no cap."""

    scale: float = 1.0
    cap: float | None = None

    def __call__(self, raw: Tensor) -> Tensor:
        """Return the model's logits from what its output embedding says; any shape."""
        logits = raw if self.scale == 1.0 else raw * self.scale
        return logits if self.cap is None else (logits / self.cap).tanh() * self.cap

    def slope(self, logits: Tensor) -> Tensor | float:
        """Return dz/dx at the logits z that came out, in their shape where it is not constant."""
        return self.scale if self.cap is None else self.scale * (1 - (logits / self.cap) ** 2)


IDENTITY = LogitRule()


def logit_rule(model: PreTrainedModel) -> LogitRule:
    """Return the rule that the model's config names."""
    config = model.config.get_text_config()
    divisor = getattr(config, "logits_scaling", None) or 1.0
    factor = getattr(config, "logit_scale", None)
    cap = getattr(config, "final_logit_softcapping", None)
    return LogitRule((1.0 if factor is None else factor) / divisor, cap)
