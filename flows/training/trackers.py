"""Live training curves in a tracker, in addition to the store's metrics.

A training that resumes continues its run in MLflow and Weights & Biases.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from accelerate.state import PartialState
from accelerate.tracking import (
    GeneralTracker,
    MLflowTracker,
    TensorBoardTracker,
    TrackioTracker,
    WandBTracker,
)
from accelerate.utils import (
    is_mlflow_available,
    is_tensorboard_available,
    is_trackio_available,
    is_wandb_available,
)

from rlhf_core.algorithms.optimisation import TrainingStep
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError

AVAILABLE = {
    "tensorboard": is_tensorboard_available,
    "trackio": is_trackio_available,
    "mlflow": is_mlflow_available,
    "wandb": is_wandb_available,
}
PACKAGES = {"mlflow": "'solon[mlflow]'", "wandb": "'solon[wandb]'"}
"""Packages to install, where they are not named as the tracker is."""
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
        raise ConfigError(
            f"tracker = {name!r} is not installed; run `pip install {PACKAGES.get(name, name)}`"
        )


def _open(config: Config, run: str) -> GeneralTracker | None:
    name = config.tracker
    if name == "auto":
        name = "tensorboard" if is_tensorboard_available() else "none"
    if name == "tensorboard":
        return TensorBoardTracker(run, config.artifacts / "tensorboard")
    if name == "mlflow":
        return _open_mlflow(config.artifacts, run)
    if name == "wandb":
        # WANDB_MODE, WANDB_API_KEY and WANDB_BASE_URL come from the environment.
        os.environ.setdefault("WANDB_SILENT", "true")
        config.artifacts.mkdir(parents=True, exist_ok=True)
        PartialState()  # which its log needs, and the other trackers make themselves
        return WandBTracker(PROJECT, name=run, id=run, resume="allow", dir=str(config.artifacts))
    return TrackioTracker(PROJECT, name=run) if name == "trackio" else None


def _open_mlflow(artifacts: Path, run: str) -> GeneralTracker:
    """Return the tracker of a run, which continues if it is there.

    It goes to the server that MLFLOW_TRACKING_URI names, or into a file.

    Args:
        artifacts: Folder of the artifacts.
        run: Name of the run.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    if "MLFLOW_TRACKING_URI" not in os.environ:
        artifacts.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(f"sqlite:///{artifacts.resolve() / 'mlflow.db'}")
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(PROJECT)
    former: list[mlflow.entities.Run] = []
    if experiment is not None:
        named = f"attributes.run_name = '{run}'"
        former = client.search_runs([experiment.experiment_id], named, max_results=1)
    folder = (artifacts / "mlflow").resolve().as_uri()
    location = None if "MLFLOW_TRACKING_URI" in os.environ else folder
    return MLflowTracker(
        PROJECT, location, run_id=former[0].info.run_id if former else None, run_name=run
    )
