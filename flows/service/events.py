"""The events of the service, which Prefect keeps for a week and automations react to.

The store remains the audit trail. An event's resource is the policy line.
"""

from enum import StrEnum

from prefect.events import emit_event


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
    GUARD_ALARM = "solon.guard.alarm"
    PROMPT_QUARANTINED = "solon.prompt.quarantined"
    STAGE_FAILED = "solon.stage.failed"
    BUDGET_SPENT = "solon.budget.spent"


def announce(event: Event, line: str, **facts: str | float | None) -> None:
    """Emit an event about a policy line.

    Args:
        event: Kind of the event.
        line: Name of the policy line.
        **facts: Counts and ids; no texts of users or models.
    """
    emit_event(
        event=event.value,
        resource={"prefect.resource.id": f"solon.line.{line}", "prefect.resource.name": line},
        payload=facts,
    )
