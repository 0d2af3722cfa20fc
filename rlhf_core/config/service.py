"""Settings of the service: when stages start by themselves, how long they may take, what is kept.

None of them changes results.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from rlhf_core.config.base import PositiveFloat, PositiveInt, Settings, Share
from rlhf_core.config.champion import ChampionSettings, PublishSettings


class TriggerSettings(Settings):
    """Conditions that start work by themselves; null is no condition.

    New pairs are pairs that a reward model of the line can learn from and its last one did not:
    the view `unlearnt_pairs`.
    """

    new_pairs: PositiveInt | None = None
    """Train a reward model when there are this many new pairs."""
    agreement_below: Share | None = None
    """Train a reward model on the new pairs, however few, when the last one prefers the same answer
    as the judges it was trained on in less than this share of the held-out comparisons of its
    policy with the baseline: the view `reward_model_agreement`."""
    new_prompts: PositiveInt | None = None
    """Collect feedback when the source holds this many prompts that the store does not."""
    at_latest_hours: PositiveFloat | None = None
    """Train a reward model on the new pairs, however few, when the last one is this old; the first
    one, when the line is this old."""


class Notice(StrEnum):
    """Kinds of news that people are told."""

    FAILURE = "failure"
    """A stage failed, or its process died."""
    PROMOTION = "promotion"
    """A policy was promoted, or the line went back to an earlier one."""
    REFUSAL = "refusal"
    """A policy or a reward model was refused."""
    ALARM = "alarm"
    """A policy exploits a judge that it was trained on, or a prompt was put in quarantine."""
    BUDGET = "budget"
    """The budget of a run is spent."""
    APPROVAL = "approval"
    """A policy waits for a person's decision."""


class NotifySettings(Settings):
    """News for people, through a notification block of the Prefect server."""

    events: tuple[Notice, ...] = Field(min_length=1)
    """Kinds of news."""
    block: Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]
    """Type and name of the block, such as slack-webhook/ops. The block holds the address and its
    secrets, so that no config does."""


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
    """Conditions that start work by themselves."""
    notify: tuple[NotifySettings, ...] = ()
    """News for people, by Slack, e-mail or webhook."""
    champion: ChampionSettings = ChampionSettings()
    """The folder of the line's champion."""
    publish: PublishSettings = PublishSettings()
    """Targets that new champions are published to."""
    stage_timeout_hours: PositiveFloat | None = None
    """A stage that takes longer is stopped, and resumes at the next run; null sets no limit."""
    gpu_limit: Annotated[str, Field(min_length=1)] | None = None
    """Name of the Prefect concurrency limit that a stage on a GPU takes a slot of, for flows that
    share a Prefect server; it is created with one slot. null names one for each GPU of each
    machine, and none on a CPU."""
    quarantine_after: Annotated[int, Field(ge=1)] = 3
    """A prompt on which a stage failed in this many runs is left out of it, with its reason."""
