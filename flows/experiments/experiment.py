"""An experiment: its arms, measures and claims, and the function that measures one arm.

An arm is one way to train or to judge. Each arm is measured once for each seed, so that arms are
compared seed by seed. An experiment knows nothing of files: `runner.py` plans and stores, `page.py`
shows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from flows.experiments.prompts import PromptMaker
from rlhf_core.config import Config
from rlhf_core.config.prompts import PromptSettings

Curve = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Arm:
    """One way to train or to judge."""

    name: str
    summary: str
    """A sentence for the page."""
    settings: tuple[str, ...] = ()
    """Settings of the config that this arm changes, `a.b=c` each."""


@dataclass(frozen=True)
class Measure:
    """A number that is measured for each arm and seed."""

    name: str
    label: str
    """Text beside the number, with its unit."""
    places: int = 3
    """Decimals shown."""


@dataclass(frozen=True)
class Claim:
    """A claim about a measure: of one arm alone, or of the difference between two arms."""

    text: str
    measure: str
    arm: str
    other: str | None = None
    """The arm to subtract, seed by seed; None tests the arm's own number."""
    direction: Literal["above", "below"] = "above"
    """The claim holds if the number or difference lies on this side of `threshold`."""
    threshold: float = 0.0


@dataclass(frozen=True)
class Findings:
    """The measurements of one arm and seed."""

    numbers: Mapping[str, float]
    """Values by the name of their measure; a value that cannot be measured is missing."""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    """Points (x, y) by the name of their chart."""


@dataclass(frozen=True)
class Trial:
    """One arm with one seed, to be measured."""

    arm: Arm
    seed: int
    """Seed of what the experiment compares. Where seeds share their feedback, the seed of both
    configs is another, always the same."""
    config: Config
    """The config with the arm's own settings."""
    feedback: Config
    """The config without them, whose SFT model and candidates the arms of a seed can share."""
    source_prompts: PromptSettings
    """The prompts of the user's config, before the experiment made its own from them."""
    data: Path | None = None
    """File of the user's that the experiment reads, if it reads one."""


@dataclass(frozen=True)
class Chart:
    """A chart of curves, one colour an arm."""

    name: str
    x: str
    y: str
    title: str


@dataclass(frozen=True)
class Experiment:
    """A seed experiment."""

    name: str
    title: str
    question: str
    source: str
    """Paper or text that the claims come from."""
    setup: str
    """The setup, in a paragraph."""
    arms: tuple[Arm, ...]
    measures: tuple[Measure, ...]
    claims: tuple[Claim, ...]
    measure: Callable[[Trial], Findings]
    seeds: int
    """Number of seeds unless the user chooses another."""
    minutes: float
    """Minutes of all arms with one seed, estimated for two cores and the default model."""
    first_minutes: float = 0.0
    """Further minutes, once, for what all seeds share."""
    settings: tuple[str, ...] = ()
    """Settings of the config that the experiment changes for all arms."""
    charts: tuple[Chart, ...] = ()
    prompts: PromptMaker | None = None
    """Makes the prompts from those of the config; None takes them as they are."""
    shares_feedback: bool = False
    """True if all seeds use the same SFT model and candidates; only what follows has seeds."""
    needs_data: bool = False
    """True if the experiment reads a file that the user names."""
    version: str = "1"
    """Version of the code; change it when results change, so that old rows are not reused."""

    @property
    def all_minutes(self) -> float:
        """Minutes of all arms with all seeds."""
        return self.first_minutes + self.minutes * self.seeds
