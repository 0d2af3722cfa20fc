"""Settings of the evaluation of policies, and of the conditions for their promotion."""

import logging
import math
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from rlhf_core.config.base import ASIDE, PositiveFloat, PositiveInt, Settings, Share
from rlhf_core.config.judge import JudgeSettings


class EvaluationSettings(Settings):
    """Comparison of policy and baseline on held-out prompts, by judges outside the training."""

    judges: tuple[JudgeSettings, ...] = Field(min_length=1)
    """Judges of the comparison. None of them, nor a member of a jury among them, may also judge
    training data, even under another name or with settings that do not change verdicts. The first
    one decides on promotion; the others are only reported."""
    baseline: Literal["champion", "sft"] = "champion"
    """Model to beat. champion: the policy promoted last (the SFT model, if there is none yet). sft:
    always the SFT model, so that policies worse than the champion may be promoted too."""
    samples_per_prompt: PositiveInt = 2
    """Answers of each model to each held-out prompt."""
    temperature: PositiveFloat = 1.0
    """Temperature at which these answers are sampled."""

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_resampled(cls, raw: Any) -> Any:
        """Accept old configs that set `bootstrap_resamples`, and warn about it."""
        if not isinstance(raw, dict) or "bootstrap_resamples" not in raw:
            return raw
        logging.getLogger(__name__).warning(
            "evaluation.bootstrap_resamples has no effect: intervals are exact now; remove it"
        )
        return {key: value for key, value in raw.items() if key != "bootstrap_resamples"}


class PromotionSettings(Settings):
    """Conditions that a policy must meet to be promoted."""

    win_rate_above: Share = 0.5
    """The lower end of the win rate's interval must lie above this."""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    """Confidence of that interval."""
    min_prompts: PositiveInt = 20
    """Held-out prompts that the deciding judge must have scored; with fewer, no policy is promoted.
    To show that it is better, a policy must win three quarters of 20 prompts, five sixths of 12, or
    all of 6; 5 prompts can show nothing."""
    approval: Annotated[Literal["automatic", "manual"], ASIDE] = "automatic"
    """automatic promotes a policy that meets the conditions. manual waits for a person:
    `solon approve` or `solon reject`."""
    decisions_per_holdout: Annotated[PositiveInt, ASIDE] = 10
    """Decisions on the same held-out prompts after which `solon plan`, `solon champion` and `solon
    status` warn that the set is spent: each may promote a policy that is no better with a chance of
    (1 - confidence) / 2, and the chances add up."""
    max_kl: PositiveFloat = 10.0
    """Limit of the KL divergence from the SFT model, in nats an answer."""
    min_eos_rate: Share = 0.5
    """Least share of the answers that must end by themselves."""

    @model_validator(mode="after")
    def _enough_to_show(self) -> "PromotionSettings":
        """Refuse a minimum that no policy can pass: n won prompts show no more than (α/2)^(1/n)."""
        shown = ((1 - self.confidence) / 2) ** (1 / self.min_prompts)
        if 0 < self.win_rate_above < 1 and shown <= self.win_rate_above:
            needed = math.log((1 - self.confidence) / 2) / math.log(self.win_rate_above)
            raise ValueError(
                f"min_prompts = {self.min_prompts}: a policy that wins all of them shows "
                f"a win rate above {shown:.1%} with {self.confidence:.0%} confidence, and it must "
                f"lie above {self.win_rate_above:.1%}; set at least {math.floor(needed) + 1}"
            )
        return self
