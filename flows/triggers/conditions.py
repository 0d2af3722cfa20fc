"""The conditions of `service.triggers` with their present values, counted in the store."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rlhf_core.config import Config
from rlhf_core.store import trigger_queries
from rlhf_core.store.trigger_queries import Query

LEAST_COMPARISONS = 20
"""Fewer comparisons say nothing about the agreement of a reward model with its judges."""
SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Condition:
    """One condition, and how far it holds."""

    name: str
    """Its key in `service.triggers`."""
    value: float | None
    """Present value in the unit of the threshold; None if it is unknown."""
    threshold: float
    multiple: int
    """Number of times over that it holds: 2 at 400 of 200 new pairs, 0 if it does not hold."""
    since: str
    """Id of the last reward model or prompt set, from which the value counts; empty if none."""
    text: str
    """The condition with its value in words, such as "120 of 200 new pairs"."""

    @property
    def holds(self) -> bool:
        return self.multiple > 0


def training_conditions(
    config: Config, query: Query, now: datetime | None = None
) -> list[Condition]:
    """Return the conditions under which a line trains a reward model by itself.

    Args:
        config: Config of the line.
        query: Queries the store or a snapshot of it.
        now: The present time; None for the clock's.
    """
    triggers, line = config.service.triggers, config.name
    wanted = (triggers.new_pairs, triggers.agreement_below, triggers.at_latest_hours)
    if wanted == (None, None, None):
        return []
    model = trigger_queries.last_reward_model(query, line)
    pairs = trigger_queries.count_new_pairs(query, line)
    since = model.id if model else ""
    conditions = []
    if triggers.new_pairs is not None:
        conditions.append(_new_pairs(pairs, triggers.new_pairs, since))
    if triggers.agreement_below is not None:
        known = trigger_queries.reward_model_agreement(query, model.used_id) if model else None
        conditions.append(_agreement(known, triggers.agreement_below, pairs, since))
    if triggers.at_latest_hours is not None:
        start = model.trained_at if model else trigger_queries.began_at(query, line)
        hours = _hours(start, now or datetime.now(UTC)) if start else None
        conditions.append(_at_latest(hours, triggers.at_latest_hours, pairs, since))
    return conditions


def prompts_condition(config: Config, found: int, since: str) -> Condition:
    """Return the condition under which a line collects feedback by itself.

    Args:
        config: Config of the line, whose `service.triggers.new_prompts` is set.
        found: Number of prompts in the source that the store does not have.
        since: Id of the last set of prompts; empty if there is none.
    """
    wanted = config.service.triggers.new_prompts
    assert wanted is not None, "there is no such condition"
    return Condition(
        "new_prompts", found, wanted, found // wanted, since, f"{found} of {wanted} new prompts"
    )


def not_due(conditions: Sequence[Condition]) -> str | None:
    """Return why no training is due, in words; None if one is, or there are no conditions."""
    if not conditions or any(condition.holds for condition in conditions):
        return None
    return "not due: " + "; ".join(condition.text for condition in conditions)


def _new_pairs(pairs: int, wanted: int, since: str) -> Condition:
    text = f"{pairs} of {wanted} new pairs"
    return Condition("new_pairs", pairs, wanted, pairs // wanted, since, text)


def _agreement(
    known: trigger_queries.Agreement | None, wanted: float, pairs: int, since: str
) -> Condition:
    name = "agreement_below"
    if known is None or known.comparisons < LEAST_COMPARISONS:
        seen = known.comparisons if known else 0
        text = (
            f"agreement unknown: {seen} of {LEAST_COMPARISONS} comparisons, due below {wanted:.0%}"
        )
        return Condition(name, None, wanted, 0, since, text)
    text = f"agreement {known.share:.0%} on {known.comparisons} comparisons, due below {wanted:.0%}"
    is_due = known.share < wanted and pairs > 0
    return Condition(name, known.share, wanted, int(is_due), since, text + _without(pairs))


def _at_latest(hours: float | None, wanted: float, pairs: int, since: str) -> Condition:
    if hours is None:
        return Condition("at_latest_hours", None, wanted, 0, since, "no cycle has begun")
    text = f"{hours:.1f} of {wanted:g} hours since the last training" + _without(pairs)
    multiple = int(hours // wanted) if pairs else 0
    return Condition("at_latest_hours", hours, wanted, multiple, since, text)


def _without(pairs: int) -> str:
    return "" if pairs else ", no new pairs"


def _hours(start: datetime, now: datetime) -> float:
    return max(0.0, (now - start).total_seconds() / SECONDS_PER_HOUR)
