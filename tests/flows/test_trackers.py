"""Training curves in the real TensorBoard, read back from its files."""

import time
from pathlib import Path

import pytest

from flows.cycle.identity import config_hash
from flows.training import trackers
from flows.training.trackers import check_tracker, tracker
from rlhf_core.algorithms.optimisation import TrainingStep
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError
from tests.flows.conftest import smoke


@pytest.mark.extra("tensorboard")
def test_curves_are_in_tensorboard_as_they_are_in_the_store(tmp_path: Path):
    from tensorboard.backend.event_processing import event_accumulator as reading

    config = smoke(tmp_path, "tracker=tensorboard")
    with tracker(config, "policy-1") as track:
        for step in (1, 2):
            track(TrainingStep(step, 2, {"loss": 1.0 / step, "kl": 0.5}))
    found = reading.EventAccumulator(str(config.artifacts / "tensorboard" / "policy-1"))
    found.Reload()
    assert sorted(found.Tags()["scalars"]) == ["kl", "loss"]
    assert [(event.step, event.value) for event in found.Scalars("loss")] == [(1, 1.0), (2, 0.5)]


def test_without_a_tracker_nothing_is_written(tmp_path: Path):
    config = smoke(tmp_path, "tracker=none")
    with tracker(config, "policy-1") as track:
        track(TrainingStep(1, 1, {"loss": 1.0}))
    assert not config.artifacts.exists()


def test_a_tracker_that_is_not_installed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(trackers.AVAILABLE, "trackio", lambda: False)
    with pytest.raises(ConfigError, match="run `pip install trackio`"):
        check_tracker(smoke(tmp_path, "tracker=trackio"))
    check_tracker(smoke(tmp_path, "tracker=auto"))


def test_it_changes_nothing_of_what_a_config_is(tmp_path: Path):
    assert config_hash(smoke(tmp_path, "tracker=none")) == config_hash(smoke(tmp_path))


def steps(config: Config, *numbers: int) -> None:
    with tracker(config, "line-cycle-1-policy-1") as track:
        for step in numbers:
            track(TrainingStep(step, 4, {"loss": 1.0 / step, "kl": 0.5}))


@pytest.mark.slow
@pytest.mark.extra("mlflow")
@pytest.mark.filterwarnings("default")
def test_a_resumed_training_continues_its_run_in_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """In a real MLflow, without a server: a file of SQLite."""
    import mlflow

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    config = smoke(tmp_path, "tracker=mlflow")
    steps(config, 1, 2)
    steps(config, 3, 4)
    client = mlflow.MlflowClient(f"sqlite:///{config.artifacts / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("solon")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "line-cycle-1-policy-1"
    assert run.info.status == "FINISHED"
    losses = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in losses] == [(n, 1.0 / n) for n in (1, 2, 3, 4)]


@pytest.mark.slow
@pytest.mark.extra("wandb")
@pytest.mark.filterwarnings("default")
def test_weights_and_biases_keeps_curves_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In the real client: what it would send later lies in the artifacts."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = smoke(tmp_path, "tracker=wandb")
    steps(config, 1, 2)
    (kept,) = (config.artifacts / "wandb").glob("offline-run-*/run-*.wandb")
    deadline = time.monotonic() + 60
    while b"loss" not in kept.read_bytes():  # a process of its own writes
        assert time.monotonic() < deadline
        time.sleep(0.1)
