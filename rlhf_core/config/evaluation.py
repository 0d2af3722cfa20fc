"""Settings of the comparison that decides, and of what it must show."""

import logging
import math
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from rlhf_core.config.base import PositiveFloat, PositiveInt, Settings, Share
from rlhf_core.config.judge import JudgeSettings


class EvaluationSettings(Settings):
    """The comparison that decides, on held-out prompts, by judges that took no part."""

    judges: tuple[JudgeSettings, ...] = Field(min_length=1)
    """None of them, nor a member of a jury among them, may have a say in training, under whatever
    name and settings that do not change verdicts. The first one decides; the others are
    reported."""
    baseline: Literal["champion", "sft"] = "champion"
    """Whom to beat: the champion, which is the policy promoted last (the SFT model, while there is
    none), or always the SFT model, which also promotes policies worse than the champion."""
    samples_per_prompt: PositiveInt = 2
    """Answers of each model to each held-out prompt."""
    temperature: PositiveFloat = 1.0
    """Of these answers."""

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_resampled(cls, raw: Any) -> Any:
        """Intervals were bootstrapped once; configs that say how often are read as before."""
        if not isinstance(raw, dict) or "bootstrap_resamples" not in raw:
            return raw
        logging.getLogger(__name__).warning(
            "evaluation.bootstrap_resamples does nothing: intervals are exact now; remove it"
        )
        return {key: value for key, value in raw.items() if key != "bootstrap_resamples"}


class PromotionSettings(Settings):
    """What a policy must show before it is promoted."""

    win_rate_above: Share = 0.5
    """The lower end of the win rate's interval must lie above this."""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    """Of that interval."""
    min_prompts: PositiveInt = 20
    """Held-out prompts that the deciding judge must have scored; with fewer there is no decision.
    Of 20 prompts a policy must win three quarters to show that it is better, of 12 five sixths, of
    6 all; 5 can show nothing."""
    max_kl: PositiveFloat = 10.0
    """Limit of the KL divergence from the SFT model, in nats an answer."""
    min_eos_rate: Share = 0.5
    """At least this share of the answers must end by themselves."""

    @model_validator(mode="after")
    def _enough_to_show(self) -> "PromotionSettings":
        """Refuse a minimum that no policy can pass: n won prompts show no more than (α/2)^(1/n)."""
        shown = ((1 - self.confidence) / 2) ** (1 / self.min_prompts)
        if 0 < self.win_rate_above < 1 and shown <= self.win_rate_above:
            needed = math.log((1 - self.confidence) / 2) / math.log(self.win_rate_above)
            raise ValueError(
                f"min_prompts = {self.min_prompts}: a policy that wins all of them shows "
                f"a win rate above {shown:.1%} with {self.confidence:.0%} confidence, and it must "
                f"lie above {self.win_rate_above:.1%}; write at least {math.floor(needed) + 1}"
            )
        return self
