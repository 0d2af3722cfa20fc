"""The automations that follow from a config: which flow an event starts, and who is told of what.

They are named `solon LINE: …`, so that they can be found, brought up to date and removed again.
"""

from collections.abc import Collection, Iterable
from datetime import timedelta
from functools import partial
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events import ResourceSpecification
from prefect.events.actions import (
    ActionTypes,
    CallWebhook,
    ChangeFlowRunState,
    RunDeployment,
    SendNotification,
)
from prefect.events.schemas.automations import (
    Automation,
    AutomationCore,
    EventTrigger,
    Posture,
)
from prefect.exceptions import ObjectNotFound

from flows.service.events import FLOW_LABEL, Event, resource_id
from flows.service.states import EARLY_ENDS
from rlhf_core.config import Config
from rlhf_core.config.service import Notice, TriggerSettings
from rlhf_core.errors import ConfigError

CHAIN = (
    (Event.REWARD_MODEL_TRAINED, "reward-model", "policy"),
    (Event.POLICY_TRAINED, "policy", "evaluate"),
    (Event.POLICY_EVALUATED, "evaluate", "promote"),
)
"""An event, the deployed flow that it must come from, and the flow that it starts."""
NEWS = {
    Notice.FAILURE: (Event.STAGE_FAILED,),
    Notice.PROMOTION: (Event.POLICY_PROMOTED, Event.ROLLED_BACK),
    Notice.REFUSAL: (Event.POLICY_REFUSED, Event.REWARD_MODEL_REFUSED),
    Notice.ALARM: (Event.GUARD_ALARM, Event.JUDGE_DRIFTED, Event.PROMPT_QUARANTINED),
    Notice.BUDGET: (Event.BUDGET_SPENT,),
    Notice.APPROVAL: (Event.APPROVAL_WANTED,),
}
HEARTBEAT = "prefect.flow-run.heartbeat"
TAKEN = ("Pending", "Submitting", "InfrastructurePending")
"""States of a run that a worker has taken and whose process has not begun."""
STARTED = ("Running", "Retrying", "Rerunning")
QUEUED = ("Scheduled", "Late", "AwaitingRetry", "AwaitingConcurrencySlot")
"""States of a run that went back to its queue, where it may wait for long."""
ENDS = ("Completed", *EARLY_ENDS, "Failed", "Cancelled", "Crashed", "Paused", "Suspended")
START_SECONDS = 180
"""Time that a run may take to start before it is closed and its slot is freed."""
SILENCE_SECONDS = 90
"""A run without a heartbeat for so long is dead; one comes every 30 seconds."""
SUBJECT = "Solon, line {{ event.resource.name }}: {{ event.event }}"
BODY = """{% for name, value in event.payload.items() %}{{ name }}: {{ value }}
{% endfor %}"""
FACTS = "{{ event.payload | tojson }}"
CRASH_SUBJECT = "Solon, line {line}: a run died"
CRASH_BODY = "{{{{ event.resource.name }}}} of line {line} has crashed; its next run resumes it"
PAGE = 200
"""Automations that are read at once."""


def register(config: Config, flows: Collection[str]) -> list[str]:
    """Bring a line's automations on the Prefect server up to date with its config.

    Call this after the line's flows were deployed. Automations that the config no longer asks for
    are removed; a repeated call changes nothing.

    Args:
        config: Config of the line.
        flows: Names of the flows that were deployed; only these are started.

    Returns:
        The names of the line's automations.

    Raises:
        ConfigError: If a flow that an automation starts is not deployed, or the server has no block
            of that name for notifications.
    """
    with get_client(sync_client=True) as client:
        wanted = {each.name: each for each in _automations(client, config, flows)}
        there = {each.name: each for each in _automations_of(client, config.name)}
        for name, automation in wanted.items():
            if name in there:
                client.update_automation(there[name].id, automation)
            else:
                client.create_automation(automation)
        for name in there.keys() - wanted.keys():
            client.delete_automation(there[name].id)
    return list(wanted)


def remove(line: str) -> list[str]:
    """Remove a line's automations from the Prefect server; return their names."""
    with get_client(sync_client=True) as client:
        there = _automations_of(client, line)
        for automation in there:
            client.delete_automation(automation.id)
    return [automation.name for automation in there]


def registered(line: str) -> dict[str, bool]:
    """Return the names of a line's automations on the server, each with whether it is enabled."""
    with get_client(sync_client=True) as client:
        there = _automations_of(client, line)
    return {each.name: each.enabled for each in there}


def _prefix(line: str) -> str:
    return f"solon {line}: "


def _automations_of(client: SyncPrefectClient, line: str) -> list[Automation]:
    there: list[Automation] = []
    while True:
        page = client.read_automations(limit=PAGE, offset=len(there))
        there += page
        if len(page) < PAGE:
            break
    ours = [each for each in there if each.name.startswith(_prefix(line))]
    return sorted(ours, key=lambda each: each.name)


def _automations(
    client: SyncPrefectClient, config: Config, flows: Collection[str]
) -> Iterable[AutomationCore]:
    line, triggers = config.name, config.service.triggers
    starting = partial(_starting, client, line)
    if "reward-model" in flows and has_training_condition(triggers):
        yield starting("reward-model when due", "reward-model", Event.TRAINING_DUE)
    if "feedback" in flows and triggers.new_prompts is not None:
        yield starting("feedback when prompts came", "feedback", Event.PROMPTS_FOUND)
    for event, after, flow in CHAIN:
        if after in flows and flow in flows:
            yield starting(f"{flow} after {after}", flow, event, after)
    yield _closing_the_unstarted(line)
    yield _closing_the_dead(line)
    for settings in config.service.notify:
        action = _notification(client, settings.block, SUBJECT, BODY, FACTS)
        for notice in settings.events:
            name = f"tell {settings.block} of {notice}"
            yield _automation(line, name, _on_events(line, NEWS[notice]), action)
        if Notice.FAILURE in settings.events:
            told = CRASH_SUBJECT.format(line=line), CRASH_BODY.format(line=line)
            action = _notification(client, settings.block, *told, facts="{}")
            yield _automation(line, f"tell {settings.block} of crashes", _on_crashes(line), action)


def has_condition(triggers: TriggerSettings) -> bool:
    """Return True if any condition may start work."""
    return has_training_condition(triggers) or triggers.new_prompts is not None


def has_training_condition(triggers: TriggerSettings) -> bool:
    """Return True if a condition may start the training of a reward model."""
    conditions = (triggers.new_pairs, triggers.agreement_below, triggers.at_latest_hours)
    return any(condition is not None for condition in conditions)


def _starting(
    client: SyncPrefectClient, line: str, name: str, flow: str, event: Event, after: str = ""
) -> AutomationCore:
    """Return the automation that starts a line's deployed flow after an event.

    Args:
        client: Client of the server.
        line: The policy line.
        name: Name of the automation, without its prefix.
        flow: Flow to start; its parameters are those of its deployment.
        event: The event.
        after: The flow that the event must come from; empty for any.
    """
    try:
        deployment = client.read_deployment_by_name(f"{flow}/{line}")
    except ObjectNotFound:
        raise ConfigError(
            f"the flow {flow}/{line} is not deployed, and an automation is to start it; run "
            "`solon deploy CONFIG`, which deploys all flows of the line"
        ) from None
    action = RunDeployment(source="selected", deployment_id=deployment.id)
    return _automation(line, name, _on_events(line, [event], after), action)


def _automation(line: str, name: str, trigger: EventTrigger, action: ActionTypes) -> AutomationCore:
    return AutomationCore(
        name=_prefix(line) + name,
        description=f"Follows from the config of the policy line {line}.",
        trigger=trigger,
        actions=[action],
    )


def _on_events(line: str, events: Iterable[Event], after: str = "") -> EventTrigger:
    """Return the trigger on each event about a line, from one deployed flow if one is named."""
    labels: dict[str, str | list[str]] = {"prefect.resource.id": resource_id(line)}
    if after:
        labels[FLOW_LABEL] = after
    return EventTrigger(
        expect={event.value for event in events},
        match=ResourceSpecification(labels),
        posture=Posture.Reactive,
        threshold=1,
    )


def _tagged(line: str) -> ResourceSpecification:
    """Return what the events of a line's flow runs are related to."""
    tag: dict[str, str | list[str]] = {
        "prefect.resource.id": f"prefect.tag.{line}",
        "prefect.resource.role": "tag",
    }
    return ResourceSpecification(tag)


def _closing_the_dead(line: str) -> AutomationCore:
    """Return the automation that closes the runs of a line whose heartbeats stopped."""
    message = f"no heartbeat for {SILENCE_SECONDS} seconds: its process or its machine is gone"
    name, expected = "close runs without heartbeat", {HEARTBEAT, *_entering(ENDS)}
    return _closing(line, name, {HEARTBEAT}, expected, SILENCE_SECONDS, message)


def _closing_the_unstarted(line: str) -> AutomationCore:
    """Return the automation that closes the runs of a line whose worker died as it started them."""
    message = f"it did not start within {START_SECONDS} seconds: its worker or its machine is gone"
    name, taken = "close runs that did not start", _entering(TAKEN)
    # A state of TAKEN is also expected after another one: each gives the run the whole time anew.
    expected = {*taken, *_entering(STARTED), *_entering(QUEUED), *_entering(ENDS)}
    return _closing(line, name, taken, expected, START_SECONDS, message)


def _entering(states: Iterable[str]) -> set[str]:
    """Return the events of flow runs that enter one of some states."""
    return {f"prefect.flow-run.{state}" for state in states}


def _closing(
    line: str, name: str, after: set[str], expected: set[str], seconds: float, message: str
) -> AutomationCore:
    """Return the automation that closes each run of a line that falls silent.

    Args:
        line: The policy line.
        name: Name of the automation, without its prefix.
        after: Events of a run that start the clock, anew if they are expected, too.
        expected: Events that stop it.
        seconds: Time between the two.
        message: Message of the run's final state.
    """
    trigger = EventTrigger(
        after=after,
        expect=expected,
        match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
        match_related=_tagged(line),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=seconds),
    )
    action = ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=message)
    return _automation(line, name, trigger, action)


def _on_crashes(line: str) -> EventTrigger:
    """Return the trigger on each deployed run of a line that crashed, without its stages."""
    deployed: dict[str, str | list[str]] = {"prefect.resource.role": "deployment"}
    return EventTrigger(
        expect={"prefect.flow-run.Crashed"},
        match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
        match_related=[_tagged(line), ResourceSpecification(deployed)],
        posture=Posture.Reactive,
        threshold=1,
    )


def _notification(
    client: SyncPrefectClient, block: str, subject: str, body: str, facts: str
) -> SendNotification | CallWebhook:
    """Return the action that tells people, by a notification block or a webhook block.

    Args:
        client: Client of the server.
        block: Type and name of the block.
        subject: Template of the subject.
        body: Template of the text.
        facts: Template of the facts as JSON, for a webhook.
    """
    identity, can_notify = _block(client, block)
    if can_notify:
        return SendNotification(block_document_id=identity, subject=subject, body=body)
    payload = (
        '{"line": {{ event.resource.name | tojson }}, "event": {{ event.event | tojson }}, '
        f'"facts": {facts}}}'
    )
    return CallWebhook(block_document_id=identity, payload=payload)


def _block(client: SyncPrefectClient, block: str) -> tuple[UUID, bool]:
    """Return the id of a block, and whether it is made for notifications rather than a webhook."""
    slug, _, name = block.partition("/")
    try:
        document = client.read_block_document_by_name(name, slug)
    except ObjectNotFound:
        raise ConfigError(
            f"service.notify: the Prefect server has no block {block}; make it on the server's "
            f"page under Blocks, with the type {slug} and the name {name}, or in Python by "
            f"`.save({name!r})` of the class in prefect.blocks.notifications"
        ) from None
    schema = document.block_schema
    capabilities = schema.capabilities if schema else []
    if "notify" not in capabilities and slug != "webhook":
        raise ConfigError(
            f"service.notify: the block {block} cannot send notifications; name one of a type such "
            "as slack-webhook, sendgrid-email, custom-webhook or webhook"
        )
    return document.id, "notify" in capabilities
