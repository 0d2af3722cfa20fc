"""Base class of all settings, and the mark for settings that change no results."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
PositiveInt = Annotated[int, Field(gt=0)]


@dataclass(frozen=True)
class _Aside:
    """Mark of a field that changes no results."""


ASIDE = _Aside()
"""`timeout_seconds: Annotated[float, ASIDE]` excludes a setting from every hash: it affects how,
where or at what price something is computed, not the result."""


@dataclass(frozen=True)
class _UnlessSet:
    """Mark of a field that decides results only where it differs from its default."""


UNLESS_SET = _UnlessSet()
"""`effort: Annotated[str | None, UNLESS_SET] = None` leaves a setting out of every hash while it is
null, its default, so that results from before the setting existed keep their identity."""


class Settings(BaseModel):
    """Base class of all settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )


def is_aside(model: type[BaseModel], name: str) -> bool:
    """Return True if a field changes no results."""
    return ASIDE in model.model_fields[name].metadata


def is_left_out(settings: BaseModel, name: str) -> bool:
    """Return True if the value of a field decides nothing: aside, or a default that is left out."""
    field = type(settings).model_fields[name]
    if UNLESS_SET in field.metadata:
        return bool(getattr(settings, name) == field.get_default(call_default_factory=True))
    return is_aside(type(settings), name)
