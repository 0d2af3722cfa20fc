"""The events of the service, which Prefect keeps for a week and automations react to.

The store remains the audit trail. An event's resource is the policy line. Stages emit an event
where a fact arises, once: a rerun that adds nothing emits nothing. Prefect sends events from a
thread of its own, which also sends those of task runs, so a run waits for none of them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum

from prefect.events import emit_event
from prefect.settings import PREFECT_API_URL

from flows.service.prefect_server import WITHOUT_EVENTS
from rlhf_core.errors import (
    BudgetError,
    ConfigError,
    LostProcessError,
    ModelNotFoundError,
    ShapeError,
    StoreError,
    TrainingError,
)

WHOLE_CYCLE = "cycle"
"""Value of the label `solon.flow` of events from a run that does the next stage itself."""
FLOW_LABEL = "solon.flow"
OWN_WORDS = (
    BudgetError,
    ConfigError,
    LostProcessError,
    ModelNotFoundError,
    ShapeError,
    StoreError,
    TrainingError,
)
"""Errors whose messages quote no model, no server and no user."""
_flow: ContextVar[str] = ContextVar("solon_flow", default=WHOLE_CYCLE)


class Event(StrEnum):
    """Kinds of events of a policy line."""

    PROMPTS_FOUND = "solon.prompts.found"
    PAIRS_ADDED = "solon.pairs.added"
    TRAINING_DUE = "solon.training.due"
    """A condition of `service.triggers` holds."""
    REWARD_MODEL_TRAINED = "solon.reward_model.trained"
    REWARD_MODEL_REFUSED = "solon.reward_model.refused"
    """The new reward model does not beat the last one on held-out pairs."""
    POLICY_TRAINED = "solon.policy.trained"
    POLICY_EVALUATED = "solon.policy.evaluated"
    APPROVAL_WANTED = "solon.policy.approval_wanted"
    POLICY_PROMOTED = "solon.policy.promoted"
    POLICY_REFUSED = "solon.policy.refused"
    ROLLED_BACK = "solon.policy.rolled_back"
    CHAMPION_PUBLISHED = "solon.champion.published"
    PUBLICATION_FAILED = "solon.champion.publication_failed"
    GUARD_ALARM = "solon.guard.alarm"
    """A detector of the guard rose above its threshold, in training or before promotion."""
    JUDGE_DRIFTED = "solon.judge.drifted"
    """A remote judge no longer gives the verdicts that it gave at first."""
    PROMPT_QUARANTINED = "solon.prompt.quarantined"
    STAGE_FAILED = "solon.stage.failed"
    BUDGET_SPENT = "solon.budget.spent"


@contextmanager
def running(flow: str) -> Iterator[None]:
    """Label the events within as those of one deployed flow, such as `reward-model`.

    An automation starts the next flow only after such an event. A run of the whole cycle does the
    next stage itself.
    """
    token = _flow.set(flow)
    try:
        yield
    finally:
        _flow.reset(token)


def resource_id(line: str) -> str:
    """Return the id of a policy line as a resource of events."""
    return f"solon.line.{line}"


def announce(event: Event, line: str, **facts: str | float | None) -> None:
    """Emit an event about a policy line.

    Nothing is emitted to a server that a run started for itself alone: it runs no automations, and
    ends with the run.

    Args:
        event: Kind of the event.
        line: Name of the policy line.
        **facts: Counts and ids; no texts of users or models.
    """
    if WITHOUT_EVENTS in os.environ:
        return
    emit_event(
        event=event.value,
        resource={
            "prefect.resource.id": resource_id(line),
            "prefect.resource.name": line,
            FLOW_LABEL: _flow.get(),
        },
        payload=facts,
    )


def announce_failure(line: str, cycle: int, stage: str, error: Exception) -> None:
    """Emit the event that a stage failed, with the message if it is in Solon's own words.

    Args:
        line: Name of the policy line.
        cycle: Number of the cycle.
        stage: Name of the stage.
        error: What the stage raised.
    """
    is_own = isinstance(error, OWN_WORDS)
    announce(
        Event.STAGE_FAILED,
        line,
        cycle=cycle,
        stage=stage,
        error=type(error).__name__,
        because=str(error) if is_own else "see the log of the run",
    )


def announce_from_command(event: Event, line: str, **facts: str | float | None) -> None:
    """Emit an event from a command that runs no flow, if a Prefect server is configured.

    Args:
        event: Kind of the event.
        line: Name of the policy line.
        **facts: Counts and ids; no texts of users or models.
    """
    if PREFECT_API_URL.value():
        announce(event, line, **facts)  # sent before the process exits
