"""The form of one behaviour of a server, with the right result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.endpoint_faults.behaviours import Behaviour

UNPARSED, UNAVAILABLE = "unparsed", "unavailable"


@dataclass(frozen=True)
class Fault:
    """One behaviour of a server."""

    name: str
    """What the server does; a row of the table."""
    seen: str
    """Where it was seen."""
    result: str
    """What Solon does; a column of the table."""
    answer: Behaviour
    wants: float | str
    """P(A) of a comparison, the text of an answer, or the outcome of no verdict."""
    requests: int = 2
    """Requests that one comparison or answer takes in all, the tiny one before it included."""
    reason: str = ""
    """Words of the reason, or of the error if the tiny request fails."""
    by: Literal["judge", "rubric", "sampler"] = "judge"
    warns: str = ""
    """Words of a warning in the log."""
    stops: bool = False
    """True if the tiny request fails, so that nothing else is sent."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further options of the judge, or settings of sampling."""
