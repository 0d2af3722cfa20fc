"""What training stages share: texts in, bar, metrics and checkpoints on the way."""

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
    """Of the training of that model, beside where the model will lie."""
    folder = cycle.folder(version.id)
    every = cycle.config.compute.checkpoint_every
    return Checkpoints(folder.with_name(f".{folder.name}.training"), every)


def track_steps(
    cycle: Cycle,
    version: ModelVersion,
    steps: Iterator[TrainingStep],
    label: str,
    total: int,
    say: Callable[[Metrics], str],
) -> Iterator[TrainingStep]:
    """The steps of a model's training, with a bar that says something of each, and a tracker."""
    named = f"{cycle.line}-cycle-{cycle.number}-{version.id}"
    with progress(label, total) as advance, tracker(cycle.config, named) as track:
        at = 0
        for step in steps:
            yield step
            track(step)
            advance(step.step - at, say(step.metrics))
            at = step.step


def keep_metrics(store: Store, model_id: str, step: TrainingStep) -> None:
    """Add a step's metrics, where an earlier, interrupted run has not."""
    store.append(
        Metric(model_id=model_id, step=step.step, name=name, value=value)
        for name, value in step.metrics.items()
    )
