"""The interface of judges that `solon judges train` can train on labelled text pairs."""

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
"""Called with the number of new steps and a note for the progress bar."""
Metrics = dict[str, dict[str, float]]
"""Metrics on the held-out pairs: name and value, by task."""


@dataclass(frozen=True)
class TrainingRun(Generic[AnyTraining]):
    """The data, settings and device of one training.

    The caller reads the files, splits them, shows the plan, writes the card and names the folder.
    """

    pairs: Sequence[TextPair]
    held_out: Sequence[TextPair]
    """Pairs for calibration and the metrics; the training must not see them."""
    settings: AnyTraining
    compute: Compute
    checkpoints: Path
    """A folder that survives a kill and belongs to this training alone."""


@dataclass(frozen=True)
class Estimate:
    """The cost of a training, for the plan."""

    steps: int
    """Number of steps that the training will report."""
    seconds: float
    """Approximate time on this machine."""


class Trainable(ABC, Generic[AnyTraining]):
    """Mixin for a judge class whose model can be trained."""

    TrainingOptions: type[AnyTraining]
    """The settings of its training, with their documentation and defaults."""

    @classmethod
    @abstractmethod
    def estimate(cls, run: TrainingRun[AnyTraining]) -> Estimate:
        """Return steps and time within seconds; refuse what the training would refuse.

        Raises:
            InputError: If the pairs or the settings do not fit this kind.
        """

    @classmethod
    @abstractmethod
    def train(cls, run: TrainingRun[AnyTraining], folder: Path, advance: Advance) -> Metrics:
        """Train a model and write it into the folder that the judge's `model` option then names.

        The same run must write the same model. Weights are saved as safetensors.

        Args:
            run: The data, settings and device.
            folder: An empty folder; the caller gives it its final name when it is complete.
            advance: Called after every step.

        Returns:
            Metrics on the held-out pairs.
        """
