"""What a judge that can be trained on labelled text pairs offers to `solon judges train`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from rlhf_core.config import Settings
from rlhf_core.files.text_pairs import TextPair
from rlhf_core.models.device import Compute

AnyTraining = TypeVar("AnyTraining", bound=Settings)
Advance = Callable[[int, str], None]
"""Told of so many more steps, with a note for the progress bar."""
Metrics = dict[str, dict[str, float]]
"""Of each task on the held-out pairs, by name."""


@dataclass(frozen=True)
class TrainingRun(Generic[AnyTraining]):
    """One training: on what, how, and where to.

    Files, the split, the plan, the card and the folder's final name are the caller's work.
    """

    pairs: Sequence[TextPair]
    held_out: Sequence[TextPair]
    """Not to train on: for calibration and the metrics."""
    settings: AnyTraining
    compute: Compute
    checkpoints: Path
    """A folder that outlasts a kill; this training alone finds what it left there."""


@dataclass(frozen=True)
class Estimate:
    """What a training takes, for the plan."""

    steps: int
    """That the training will report."""
    seconds: float
    """On this machine, roughly."""


class Trainable(ABC, Generic[AnyTraining]):
    """Mixed into a judge class whose model can be trained."""

    TrainingOptions: type[AnyTraining]
    """The settings of its training, with their documentation and defaults."""

    @classmethod
    @abstractmethod
    def estimate(cls, run: TrainingRun[AnyTraining]) -> Estimate:
        """Steps and time, in seconds at most; refuses what the training would refuse.

        Raises:
            InputError: If the pairs or the settings do not fit this kind.
        """

    @classmethod
    @abstractmethod
    def train(cls, run: TrainingRun[AnyTraining], folder: Path, advance: Advance) -> Metrics:
        """Train, and write into the folder what the judge's `model` option then names.

        The same run must write the same model. Weights go into safetensors.

        Args:
            run: What to train on, and how.
            folder: Empty; renamed to its own name when all is in it.
            advance: To be told of every step.

        Returns:
            Metrics on the held-out pairs.
        """
