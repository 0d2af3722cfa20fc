"""Settings of the service: when stages start by themselves, how long they may take, what is kept.

None of them changes results.
"""

from typing import Annotated

from pydantic import Field

from rlhf_core.config.base import PositiveFloat, PositiveInt, Settings, Share


class TriggerSettings(Settings):
    """Conditions that start a training by themselves; null is no condition."""

    new_pairs: PositiveInt | None = None
    """Train a reward model when there are this many trainable pairs that the line's last reward
    model did not learn from."""
    agreement_below: Share | None = None
    """Train a reward model when it agrees with the judges on less than this share of the new
    pairs."""
    new_prompts: PositiveInt | None = None
    """Collect feedback when the source holds this many prompts that the store does not."""
    at_latest_hours: PositiveFloat | None = None
    """Train a reward model when the last one is this old and there are new trainable pairs."""


class RetentionSettings(Settings):
    """Files of a line that `solon gc` keeps; the facts in the store all stay."""

    keep_cycles: PositiveInt | None = None
    """Number of ended cycles of which everything is kept: models, checkpoints, curves, reports and
    the texts of rollouts. null keeps all cycles."""
    keep_lineage: bool = True
    """true keeps every model that the champion, or the one before it, rests on: those that it was
    initialised from, that rewarded it, and whose answers or verdicts it learnt from. false keeps
    only what is needed to load the two, to continue them and to roll back."""


class ServiceSettings(Settings):
    """The line as a service."""

    retention: RetentionSettings = RetentionSettings()
    """Files that `solon gc` keeps."""

    triggers: TriggerSettings = TriggerSettings()
    """Conditions that start a training by themselves."""
    stage_timeout_hours: PositiveFloat | None = None
    """A stage that takes longer is stopped, and resumes at the next run; null sets no limit."""
    quarantine_after: Annotated[int, Field(ge=1)] = 3
    """A prompt on which a stage failed in this many runs is left out of it, with its reason."""
