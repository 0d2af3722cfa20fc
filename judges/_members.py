"""Judges that a judge asks: made from settings inside its own."""

from typing import Annotated, Any

from pydantic import PlainSerializer

from judges import load
from judges._base import Judge
from judges._ledger import Ledger
from rlhf_core.config import JudgeSettings


def member(settings: JudgeSettings, ledger: Ledger | None = None) -> Judge[Any]:
    """The judge of one entry.

    Raises:
        ConfigError: If it is unknown, or does not know an option.
    """
    return load(settings, ledger)


Member = Annotated[
    JudgeSettings, PlainSerializer(lambda settings: member(settings).version, return_type=str)
]
"""Settings that count for the version of the judge around them by their own judge's version."""
