"""A champion as its targets receive it: its facts, and its folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf_core.errors import SolonError


class PublishError(SolonError):
    """A target did not take the champion; the message holds no secret and no text of a model."""


@dataclass(frozen=True)
class Release:
    """A champion to publish."""

    line: str
    model_id: str
    facts: dict[str, Any]
    """The decision, its reasons and its figures, ready for JSON."""
    folder: Path | None
    """The champion's folder; None if service.champion.form is none."""

    def need_folder(self) -> Path:
        """Return the champion's folder.

        Raises:
            PublishError: If there is none.
        """
        if self.folder is None:
            raise PublishError("there is no folder to publish; set service.champion.form")
        return self.folder.resolve()
