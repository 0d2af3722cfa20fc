"""A constitution: worked examples, and principles of which one is drawn for each comparison."""

from typing import Annotated, Any, Literal

from pydantic import Field

from judges.language_model.assets import read_yaml
from rlhf_core.config import Settings
from rlhf_core.identity import unit_interval


class Principle(Settings):
    name: str
    """The name under which it is stored."""
    prefer: str
    """The principle in the words shown to a judge that compares two answers."""
    critique: str
    """The instruction to a model that criticises an answer."""
    revise: str
    """The instruction to a model that revises it."""


class WorkedComparison(Settings):
    """A few-shot example with a principle of its own (arXiv:2212.08073, section 4.1)."""

    principle: str
    request: str
    first: str
    second: str
    better: Literal["first", "second"]


class WorkedRevision(Settings):
    """A few-shot example of a critique and the revision after it (section 3.1)."""

    request: str
    answer: str
    critique_request: str
    critique: str
    revision_request: str
    revision: str


class Constitution(Settings):
    principles: Annotated[tuple[Principle, ...], Field(min_length=1)]
    few_shots: tuple[WorkedComparison, ...] = ()
    revision_example: WorkedRevision | None = None

    def draw(self, *parts: Any) -> Principle:
        """Return a principle drawn by a hash of the parts: equal parts draw the same one."""
        place = int(unit_interval("principle", *parts) * len(self.principles))
        return self.principles[place]


def read_constitution(name: str) -> Constitution:
    """Load a constitution that Solon ships, or a .yaml file.

    Raises:
        ConfigError: If there is no such constitution, or something in it is wrong.
    """
    return read_yaml(Constitution, "constitutions", name)
