"""A judge's entry in a config; what belongs to one kind alone is checked in that judge's file."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rlhf_core.config.base import ASIDE, PositiveFloat
from rlhf_core.identity import content_id
from rlhf_core.records import Mode

DEFAULT_SCALE = 0.1
"""Of judges that score: a tenth of the way from the worst to the best score."""


class JudgeSettings(BaseModel):
    """One judge: which, how much it counts, and the settings of its kind."""

    model_config = ConfigDict(
        extra="allow", frozen=True, use_attribute_docstrings=True, protected_namespaces=()
    )

    kind: str
    """Name of a file in judges/; `solon judges` lists them."""
    name: Annotated[str, ASIDE] = ""
    """Name in the store and the report; the kind, where it is left out."""
    weight: Annotated[float, Field(ge=0.0)] = 1.0
    """Its share in the ranking. 0 records its judgements and lets them decide nothing."""
    modes: tuple[Mode, ...] = tuple(Mode)
    """Prompts it judges; all, where it is left out."""
    scale: PositiveFloat = DEFAULT_SCALE
    """Of a judge that scores: of two answers whose scores differ by so much, the better one is
    preferred at odds of e to 1, with probability 0.73; in general with σ(difference / scale), so
    that scores and the probabilities of judges that compare count alike. On labelled pairs, `solon
    judges bench` tells by its `calibration_slope` which scale fits: this one over the slope."""

    @model_validator(mode="before")
    @classmethod
    def _name_defaults_to_kind(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and not raw.get("name"):
            return {**raw, "name": raw.get("kind", "")}
        return raw

    @property
    def options(self) -> dict[str, Any]:
        """The settings that belong to this kind alone."""
        return dict(self.model_extra or {})

    @property
    def identity(self) -> str:
        """What makes it the same judge: kind and options, not name, weight, modes or scale."""
        return content_id(self.kind, self.options)
