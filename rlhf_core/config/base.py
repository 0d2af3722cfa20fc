"""What every part of a config is made of, and which settings change results."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
PositiveInt = Annotated[int, Field(gt=0)]


@dataclass(frozen=True)
class _Aside:
    """Marks a field that changes no result."""


ASIDE = _Aside()
"""`timeout_seconds: Annotated[float, ASIDE]` leaves a setting out of every hash: it says how, where
or at what price something is computed, not what comes of it."""


class Settings(BaseModel):
    """Base of every config: frozen, and an unknown key is an error, not a surprise."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )


def is_aside(model: type[BaseModel], name: str) -> bool:
    """Return whether a field changes no result."""
    return ASIDE in model.model_fields[name].metadata
