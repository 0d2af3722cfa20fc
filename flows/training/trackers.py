"""Live training curves in TensorBoard or trackio, in addition to the store's metrics."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from accelerate.tracking import GeneralTracker, TensorBoardTracker, TrackioTracker
from accelerate.utils import is_tensorboard_available, is_trackio_available

from rlhf_core.algorithms.optimisation import TrainingStep
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError

AVAILABLE = {"tensorboard": is_tensorboard_available, "trackio": is_trackio_available}
PROJECT = "solon"


@contextmanager
def tracker(config: Config, run: str) -> Iterator[Callable[[TrainingStep], None]]:
    """Open a tracker; yield a function that logs a training step.

    Args:
        config: Names the tracker and its folder.
        run: Name of the run in the tracker.

    Yields:
        The function, which does nothing without a tracker.
    """
    backend = _open(config, run)
    if backend is None:
        yield lambda step: None
        return
    backend.start()
    try:
        yield lambda step: backend.log(dict(step.metrics), step=step.step)
    finally:
        backend.finish()


def check_tracker(config: Config) -> None:
    """Refuse a tracker that is not installed.

    Raises:
        ConfigError: With what to install.
    """
    name = config.tracker
    if name in AVAILABLE and not AVAILABLE[name]():
        raise ConfigError(f"tracker = {name!r} is not installed; run `pip install {name}`")


def _open(config: Config, run: str) -> GeneralTracker | None:
    name = config.tracker
    if name == "auto":
        name = "tensorboard" if is_tensorboard_available() else "none"
    if name == "tensorboard":
        return TensorBoardTracker(run, config.artifacts / "tensorboard")
    return TrackioTracker(PROJECT, name=run) if name == "trackio" else None
