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
