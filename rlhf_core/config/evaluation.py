"""Settings of the evaluation of policies, and of the conditions for their promotion."""

import logging
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from rlhf_core.config.base import ASIDE, PositiveFloat, PositiveInt, Settings, Share
from rlhf_core.config.benchmarks import BenchmarkSettings
from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.config.judge import JudgeSettings


def _without(raw: Any, key: str, warning: str) -> Any:
    """Return raw settings without a key that has no effect any more; warn if it was there."""
    if not isinstance(raw, dict) or key not in raw:
        return raw
    logging.getLogger(__name__).warning(warning)
    return {name: value for name, value in raw.items() if name != key}


class FileBaseline(Settings):
    """Answers of a file: of another model, an older system, or people."""

    file: Path
    """A .jsonl, .json, .csv, .tsv or .parquet file with a prompt and an answer a row, which answers
    every held-out prompt. Its prompts are those of `prompts.path`, word for word."""
    columns: dict[Literal["prompt", "answer", "context"], str] = Field(default_factory=dict)
    """Names of its columns, where they have other than the usual ones, as in {answer: output}."""


class EndpointBaseline(Settings):
    """A model behind a server, which answers the held-out prompts."""

    endpoint: EndpointSettings
    """The model, its server, limits and prices."""


def _kind_of_baseline(raw: Any) -> str | None:
    if isinstance(raw, str):
        return "named"
    held = raw if isinstance(raw, dict) else dict(raw) if isinstance(raw, Settings) else {}
    found = [kind for kind in ("file", "endpoint") if kind in held]
    return found[0] if len(found) == 1 else None


Baseline = Annotated[
    Annotated[Literal["champion", "sft"], Tag("named")]
    | Annotated[FileBaseline, Tag("file")]
    | Annotated[EndpointBaseline, Tag("endpoint")],
    Discriminator(
        _kind_of_baseline,
        custom_error_type="baseline",
        custom_error_message="use champion, sft, {file: PATH} or {endpoint: {model: NAME}}",
    ),
]


class EvaluationSettings(Settings):
    """Comparison of policy and baseline on held-out prompts, by judges outside the training."""

    judges: tuple[JudgeSettings, ...] = Field(min_length=1)
    """Judges of the comparison. None of them, nor a member of a jury among them, may also judge
    training data, even under another name or with settings that do not change verdicts. The first
    one decides on promotion; the others are only reported."""
    baseline: Baseline = "champion"
    """Model to beat. champion: the policy promoted last (the SFT model, if there is none yet). sft:
    always the SFT model, so that policies worse than the champion may be promoted too. {file: PATH}
    or {endpoint: {model: NAME, base_url: ADDRESS}}: answers from outside, with the same effect; the
    guard still compares the policy with the model that its training began from."""
    samples_per_prompt: PositiveInt = 2
    """Answers of each model to each held-out prompt."""
    temperature: PositiveFloat = 1.0
    """Temperature at which these answers are sampled."""
    benchmarks: Annotated[tuple[BenchmarkSettings, ...], ASIDE] = ()
    """Public benchmarks that the policy, the baseline and the SFT model are measured on. They show
    what training unlearnt, and decide nothing."""

    @field_validator("benchmarks")
    @classmethod
    def _names_differ(cls, benchmarks: tuple[BenchmarkSettings, ...]) -> Any:
        names = [benchmark.name for benchmark in benchmarks]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two benchmarks are named {name!r}; give each its own `name`")
        return benchmarks

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_resampled(cls, raw: Any) -> Any:
        """Accept old configs that set `bootstrap_resamples`, and warn about it."""
        why = "evaluation.bootstrap_resamples has no effect: nothing is resampled; remove it"
        return _without(raw, "bootstrap_resamples", why)


class PromotionSettings(Settings):
    """Conditions that a policy must meet to be promoted."""

    win_rate_above: Share = 0.5
    """The lower bound of the win rate must lie above this."""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    """Confidence that no policy without such a win rate is promoted by any decision on the same
    held-out prompts, however many there are. The first decision takes half of the chance of an
    error, the second a sixth, the k-th 1/(k (k + 1)); fresh held-out prompts begin anew. Also the
    confidence of the reported interval."""
    min_prompts: PositiveInt = 20
    """Held-out prompts that the deciding judge must have scored; with fewer, no policy is promoted.
    `solon plan` says what win rate yours can show."""
    approval: Annotated[Literal["automatic", "manual"], ASIDE] = "automatic"
    """automatic promotes a policy that meets the conditions. manual waits for a person:
    `solon approve` or `solon reject`."""
    max_kl: PositiveFloat = 10.0
    """Limit of the KL divergence from the SFT model, in nats an answer."""
    min_eos_rate: Share = 0.5
    """Least share of the answers that must end by themselves."""

    @model_validator(mode="before")
    @classmethod
    def _no_set_is_spent(cls, raw: Any) -> Any:
        """Accept old configs that set `decisions_per_holdout`, and warn about it."""
        return _without(
            raw,
            "decisions_per_holdout",
            "promotion.decisions_per_holdout has no effect: each decision on the same held-out "
            "prompts takes more evidence than the one before; remove it",
        )

    @model_validator(mode="after")
    def _enough_to_show(self) -> "PromotionSettings":
        """Refuse a minimum that no policy can pass: n won prompts show no more than (α/2)^(1/n)."""
        shown = ((1 - self.confidence) / 2) ** (1 / self.min_prompts)
        if 0 < self.win_rate_above < 1 and shown <= self.win_rate_above:
            needed = math.log((1 - self.confidence) / 2) / math.log(self.win_rate_above)
            raise ValueError(
                f"min_prompts = {self.min_prompts}: a policy that wins all of them shows "
                f"a win rate above {shown:.1%} in the first decision, and it must "
                f"lie above {self.win_rate_above:.1%}; set at least {math.floor(needed) + 1}"
            )
        return self
