"""Scaling and soft capping of logits, which some models apply after the output embedding.

Granite and Cohere scale, Gemma 2 caps. Solon computes logits from hidden states by itself, so it
applies the same rule; `Trunk` refuses a model that does anything else.
"""

from dataclasses import dataclass

from torch import Tensor
from transformers import PreTrainedModel


@dataclass(frozen=True)
class LogitRule:
    """z = c · tanh(s x / c), or z = s x without a cap (arXiv:2408.00118, section 2)."""

    scale: float = 1.0
    cap: float | None = None

    def __call__(self, raw: Tensor) -> Tensor:
        """Return the model's logits z from the outputs x of its output embedding, of any shape."""
        logits = raw if self.scale == 1.0 else raw * self.scale
        return logits if self.cap is None else (logits / self.cap).tanh() * self.cap

    def slope(self, logits: Tensor) -> Tensor | float:
        """Return dz/dx at the logits z, in their shape; a single number without a cap."""
        return self.scale if self.cap is None else self.scale * (1 - (logits / self.cap) ** 2)


IDENTITY = LogitRule()


def logit_rule(model: PreTrainedModel) -> LogitRule:
    """Return the rule in a model's config."""
    config = model.config.get_text_config()
    divisor = getattr(config, "logits_scaling", None) or 1.0
    factor = getattr(config, "logit_scale", None)
    cap = getattr(config, "final_logit_softcapping", None)
    return LogitRule((1.0 if factor is None else factor) / divisor, cap)
