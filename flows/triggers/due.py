"""Telling the Prefect server that work is due, once for what made it due."""

import logging
from collections.abc import Sequence

from prefect.context import FlowRunContext

from flows.cycle.tombstones import read_tombstones
from flows.service.events import Event, announce
from flows.triggers.conditions import Condition, not_due, prompts_condition, training_conditions
from rlhf_core.config import Config
from rlhf_core.prompts.intake import read_prompts
from rlhf_core.records import TriggerFiring
from rlhf_core.store import Store, queries, trigger_queries

logger = logging.getLogger(__name__)


def announce_due(config: Config, store: Store) -> str | None:
    """Emit an event if a training is due, and was not announced for the same pairs before.

    Args:
        config: Config of the line.
        store: The line's store.

    Returns:
        The conditions that made it due, in words; None if there is nothing new to announce.
    """
    return _fire(Event.TRAINING_DUE, config, store, training_conditions(config, store.query))


def announce_new_prompts(config: Config, store: Store) -> str | None:
    """Read the source, and emit an event if it holds enough prompts that the store does not.

    Args:
        config: Config of the line.
        store: The line's store.

    Returns:
        The number of prompts, in words; None if there is nothing new to announce.

    Raises:
        DataFileError: If the source is missing or broken.
    """
    if config.service.triggers.new_prompts is None:
        return None
    condition = prompts_condition(
        config,
        count_new_prompts(config, store),
        trigger_queries.last_prompt_set(store.query, config.prompts.path),
    )
    return _fire(Event.PROMPTS_FOUND, config, store, [condition])


def count_new_prompts(config: Config, store: Store) -> int:
    """Return how many prompts of the source are not in the store.

    Raises:
        DataFileError: If the source is missing or broken.
    """
    ids = {prompt.id for prompt in read_prompts(config.prompts, *read_tombstones(store)).prompts}
    return len(ids) - len(queries.known_ids(store, "prompts", ids))


def why_not_due(config: Config, store: Store) -> str | None:
    """Return why a run that a trigger started has nothing to do, in words.

    Between a trigger and its run another run may have learnt from the pairs. A run that a person or
    a schedule started is always due.
    """
    return not_due(training_conditions(config, store.query)) if is_triggered() else None


def is_triggered() -> bool:
    """Return True if an automation of the Prefect server started this flow run."""
    context = FlowRunContext.get()
    key = context.flow_run.idempotency_key if context and context.flow_run else None
    return (key or "").startswith("automation ")


def _fire(
    event: Event, config: Config, store: Store, conditions: Sequence[Condition]
) -> str | None:
    """Emit one event for all conditions that hold anew, and record that they fired."""
    line = config.name
    fired = [
        each
        for each in conditions
        if each.multiple > trigger_queries.last_multiple(store.query, line, each.name, each.since)
    ]
    if not fired:
        return None
    because = "; ".join(each.text for each in fired)
    # Recorded after it is emitted: if the process dies in between, the flow is started twice, and
    # counts again.
    announce(event, line, condition=fired[0].name, since=fired[0].since, because=because)
    store.append(
        TriggerFiring(
            line=line,
            condition=each.name,
            since=each.since,
            multiple=each.multiple,
            value=each.value or 0.0,
            threshold=each.threshold,
        )
        for each in fired
    )
    logger.info("%s: %s", event.value, because)
    return because
