"""A judge's entry in a config; options of one kind alone are validated in that judge's file."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rlhf_core.config.base import ASIDE, PositiveFloat
from rlhf_core.identity import content_id
from rlhf_core.records import Mode

DEFAULT_SCALE = 0.1
"""Default scale of judges that score: a tenth of the range from the worst to the best score."""


class JudgeSettings(BaseModel):
    """One judge: its kind, its weight, and the options of its kind."""

    model_config = ConfigDict(
        extra="allow", frozen=True, use_attribute_docstrings=True, protected_namespaces=()
    )

    kind: str
    """Name of a file in judges/; `solon judges` lists them."""
    name: Annotated[str, ASIDE] = ""
    """Name in the store and in reports; by default the kind."""
    weight: Annotated[float, Field(ge=0.0)] = 1.0
    """Weight in the ranking. With 0 its judgements are stored but decide nothing."""
    modes: tuple[Mode, ...] = tuple(Mode)
    """Modes of the prompts that it judges; by default all."""
    scale: PositiveFloat = DEFAULT_SCALE
    """Scale of the scores, for a judge that scores: the better of two answers is preferred with
    probability σ(difference / scale), so a difference of one scale means odds of e to 1, or 0.73.
    This makes scores and the probabilities of judges that compare count alike. On labelled pairs,
    `solon judges bench` reports a `calibration_slope`; the scale that fits is this one divided by
    it."""

    @model_validator(mode="before")
    @classmethod
    def _name_defaults_to_kind(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and not raw.get("name"):
            return {**raw, "name": raw.get("kind", "")}
        return raw

    @property
    def options(self) -> dict[str, Any]:
        """The options that belong to this kind alone."""
        return dict(self.model_extra or {})

    @property
    def identity(self) -> str:
        """Hash of kind and options; name, weight, modes and scale do not change the judge."""
        return content_id(self.kind, self.options)
