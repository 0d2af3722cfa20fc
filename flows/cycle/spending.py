"""Amounts that a line has spent of its budget."""

from datetime import UTC, datetime

from rlhf_core.config.tree import BudgetSettings
from rlhf_core.endpoints.budget import Spend
from rlhf_core.store import line_queries
from rlhf_core.store.trigger_queries import Query


def spent_of_budget(query: Query, line: str, limits: BudgetSettings) -> Spend:
    """Return what a line has spent of its budget: in the period, or in its last run.

    Args:
        query: Queries the store or a snapshot of it.
        line: The policy line.
        limits: The budget.
    """
    since = period_start(limits, datetime.now(UTC))
    if since is None:
        return Spend(*line_queries.spent_in_last_run(query, line))
    return Spend(*line_queries.spent_since(query, line, since))


def period_start(limits: BudgetSettings, now: datetime) -> datetime | None:
    """Return since when costs count against a budget; None if only those of one run do.

    Args:
        limits: The budget.
        now: The present time, UTC.
    """
    if limits.period == "run":
        return None
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if limits.period == "day" else midnight.replace(day=1)
