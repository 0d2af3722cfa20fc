"""Alarms of the guard: their rows, their events, and what they mean for a promotion."""

from collections.abc import Sequence

from flows.cycle.cycle import Cycle
from flows.service.events import Event, announce
from rlhf_core.config import Config
from rlhf_core.guard.monitor import Alarm, Look
from rlhf_core.records import GuardAlarm
from rlhf_core.store import Store

SHOWN = 3
"""Alarms that a refusal quotes."""


def alarm_rows(config: Config, model_id: str, look: Look, step: int) -> list[GuardAlarm]:
    """Return the alarms of a look as rows.

    Args:
        config: Config of the run.
        model_id: The policy.
        look: The look that raised them.
        step: Step of the training; 0 before promotion.
    """
    return [_row(config, model_id, look, step, alarm) for alarm in look.alarms]


def _row(config: Config, model_id: str, look: Look, step: int, alarm: Alarm) -> GuardAlarm:
    return GuardAlarm(
        model_id=model_id,
        step=step,
        **vars(alarm),
        kl=look.kl,
        reward_gain=look.reward_gain,
        held_out_gain=look.held_out_gain,
        action=config.guard.action,
    )


def announce_alarms(cycle: Cycle, alarms: Sequence[GuardAlarm]) -> None:
    """Emit an event for each alarm."""
    for alarm in alarms:
        announce(
            Event.GUARD_ALARM,
            cycle.line,
            cycle=cycle.number,
            policy=alarm.model_id,
            detector=alarm.detector,
            step=alarm.step,
            kl=alarm.kl,
            reward_gain=alarm.reward_gain,
            held_out_gain=alarm.held_out_gain,
            action=alarm.action,
        )


def reasons_against(config: Config, store: Store, policy_id: str) -> tuple[str, ...]:
    """Return why a policy may not be promoted; none if the guard does not stop policies.

    Args:
        config: Config of the run.
        store: Store of the alarms.
        policy_id: The policy.
    """
    if config.guard.action != "stop":
        return ()
    alarms = store.rows(GuardAlarm, "model_id = ?", [policy_id])
    told = [f"guard, {_when(alarm)}: {alarm.reason}" for alarm in alarms[:SHOWN]]
    more = len(alarms) - SHOWN
    return (*told, f"{more} further alarms in guard_alarms") if more > 0 else tuple(told)


def _when(alarm: GuardAlarm) -> str:
    return f"step {alarm.step} of its training" if alarm.step else "on held-out prompts"
