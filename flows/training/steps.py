"""Shared by the training stages: checkpoints, progress bar, tracker and metrics."""

from collections.abc import Callable, Iterator, Mapping

from flows.cycle.cycle import Cycle
from flows.terminal.progress import progress
from flows.training.trackers import tracker
from rlhf_core.algorithms.checkpoints import Checkpoints
from rlhf_core.algorithms.optimisation import TrainingStep
from rlhf_core.records import Metric, ModelVersion
from rlhf_core.store import Store

Metrics = Mapping[str, float]


def checkpoints_of(cycle: Cycle, version: ModelVersion) -> Checkpoints:
    """Return the checkpoints of a model's training, in a folder beside the model's own."""
    folder = cycle.folder(version.id)
    every = cycle.config.compute.checkpoint_every
    return Checkpoints(folder.with_name(f".{folder.name}.training"), every)


def track_steps(
    cycle: Cycle,
    version: ModelVersion,
    steps: Iterator[TrainingStep],
    label: str,
    total: int,
    describe: Callable[[Metrics], str],
) -> Iterator[TrainingStep]:
    """Yield the steps of a model's training, with a progress bar and a tracker.

    Args:
        cycle: The cycle under way.
        version: The model.
        steps: Its training.
        label: Label of the progress bar.
        total: Number of steps.
        describe: Turns the metrics of a step into the text beside the bar.

    Yields:
        The steps, unchanged.
    """
    run = f"{cycle.line}-cycle-{cycle.number}-{version.id}"
    with progress(label, total) as advance, tracker(cycle.config, run) as track:
        at = 0
        for step in steps:
            yield step
            track(step)
            advance(step.step - at, describe(step.metrics))
            at = step.step


def keep_metrics(store: Store, model_id: str, step: TrainingStep) -> None:
    """Add a step's metrics, unless an earlier, interrupted run has added them.

    Args:
        store: Receives the metrics.
        model_id: The model that is trained.
        step: The step.
    """
    store.append(
        Metric(model_id=model_id, step=step.step, name=name, value=value)
        for name, value in step.metrics.items()
    )
