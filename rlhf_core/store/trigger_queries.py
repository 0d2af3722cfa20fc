"""Queries about the conditions of `service.triggers`, over a store or a snapshot of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rlhf_core.store.snapshot import Snapshot

Query = Callable[[str, Sequence[Any]], list[dict[str, Any]]]
"""Returns the rows of a statement with its parameters, as `Store.query` does."""


@dataclass(frozen=True)
class LastRewardModel:
    """The reward model that a line trained last, also if it was refused."""

    id: str
    used_id: str
    """The reward model in use: an earlier one if the last was refused."""
    trained_at: datetime


@dataclass(frozen=True)
class Agreement:
    """The agreement of a reward model with the judges that it was trained on."""

    share: float
    comparisons: int
    """Number of comparisons on which both prefer one answer; each judge counts by itself."""


def query_of(snapshot: Snapshot) -> Query:
    """Return a snapshot's queries in the form of a store's."""
    return lambda sql, parameters: snapshot.query(sql, parameters).as_dicts()


def last_reward_model(query: Query, line: str) -> LastRewardModel | None:
    sql = "SELECT model_id, used_id, trained_at FROM line_reward_models WHERE line = ?"
    rows = query(sql, [line])
    if not rows:
        return None
    return LastRewardModel(rows[0]["model_id"], rows[0]["used_id"], rows[0]["trained_at"])


def count_new_pairs(query: Query, line: str) -> int:
    """Return how many trainable pairs the line's last reward model did not learn from."""
    (row,) = query("SELECT count(*) AS pairs FROM unlearnt_pairs WHERE line = ?", [line])
    return int(row["pairs"])


def reward_model_agreement(query: Query, model_id: str) -> Agreement | None:
    """Return the agreement of a reward model with all its judges; None if nothing was compared."""
    (row,) = query(
        "SELECT sum(pairs) AS comparisons, sum(pairs * agreement) AS agreed "
        "FROM reward_model_agreement WHERE model_id = ?",
        [model_id],
    )
    if not row["comparisons"]:
        return None
    return Agreement(row["agreed"] / row["comparisons"], int(row["comparisons"]))


def began_at(query: Query, line: str) -> datetime | None:
    """Return when the first cycle of a line began."""
    (row,) = query("SELECT min(created_at) AS began_at FROM cycle_runs WHERE line = ?", [line])
    began: datetime | None = row["began_at"]
    return began


def last_prompt_set(query: Query, source: str) -> str:
    """Return the id of the newest set of prompts of a source; empty if there is none."""
    rows = query(
        "SELECT id FROM prompt_sets WHERE source = ? ORDER BY created_at DESC LIMIT 1", [source]
    )
    return str(rows[0]["id"]) if rows else ""


def last_multiple(query: Query, line: str, condition: str, since: str) -> int:
    """Return how many times over a condition held when it fired last; 0 if it never fired.

    Args:
        query: Queries the store.
        line: The policy line.
        condition: A key of `service.triggers`.
        since: What the condition counts from.
    """
    (row,) = query(
        "SELECT max(multiple) AS multiple FROM trigger_firings "
        "WHERE line = ? AND condition = ? AND since = ?",
        [line, condition, since],
    )
    return int(row["multiple"] or 0)
