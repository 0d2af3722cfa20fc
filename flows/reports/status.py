"""The state of a policy line as its store tells it, read from the snapshot: no run waits for it."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from flows.cycle.spending import spent_of_budget
from flows.triggers.conditions import Condition, training_conditions
from rlhf_core.config import Config
from rlhf_core.evaluation.wear import UNUSED, Wear, describe_wear
from rlhf_core.store import line_queries, reading, store_exists
from rlhf_core.store.database import open_database
from rlhf_core.store.trigger_queries import Query, query_of

STAGES = (
    "ingest",
    "revise",
    "train_sft",
    "sample",
    "judge",
    "pair",
    "repair",
    "train_reward",
    "train_policy",
    "evaluate",
    "promote",
    "report",
)
"""The stages of a cycle in their order, named here because the pipeline itself imports Prefect."""


@dataclass(frozen=True)
class ChampionState:
    """The policy promoted last."""

    model: str
    cycle: int
    since: datetime
    judge: str | None
    win_rate: float | None
    win_rate_low: float | None
    win_rate_high: float | None


@dataclass(frozen=True)
class Decision:
    """The last decision of a line."""

    cycle: int
    promoted: bool
    reasons: tuple[str, ...]
    decided_at: datetime


@dataclass(frozen=True)
class Spending:
    """The budget, and what was spent of it in its period."""

    limits: Mapping[str, float]
    """Limits that are set, by their key in `budget`."""
    period: str
    """`budget.period`; of runs, the last one counts."""
    usd: float
    tokens: int
    calls: int


@dataclass(frozen=True)
class Disk:
    """Sizes and free space, in bytes; None if they are not on a disk of this machine."""

    store: int | None
    store_free: int | None
    artifacts: int
    artifacts_free: int | None


@dataclass(frozen=True)
class LineStatus:
    """A policy line and its store."""

    line: str
    config: str
    store: str
    is_begun: bool
    """False if no cycle has begun; nothing else is known then."""
    champion: ChampionState | None
    decision: Decision | None
    wear: Wear
    """Wear of the held-out prompts of that decision."""
    wear_in_words: str
    """The same in words, with what can still show; empty before the first decision."""
    cycle: int
    """Number of the cycle that has not ended."""
    ended_stages: tuple[str, ...]
    next_stage: str | None
    triggers: tuple[Condition, ...]
    spending: Spending
    disk: Disk
    age_seconds: float
    """Age of the snapshot that was read."""


@dataclass(frozen=True)
class AutomationState:
    """An automation of a line on the server."""

    name: str
    is_enabled: bool


@dataclass(frozen=True)
class RunState:
    """A flow run: the deployed flow, its state, and since when."""

    flow: str
    state: str
    since: datetime
    message: str


@dataclass(frozen=True)
class ServerStatus:
    """A line as a Prefect server knows it."""

    address: str
    problem: str | None = None
    """Why the server tells nothing; None if it answered."""
    running: tuple[RunState, ...] = ()
    waiting: tuple[RunState, ...] = ()
    failed: tuple[RunState, ...] = ()
    """Last runs of a flow that did not succeed, newest first."""
    upcoming: tuple[RunState, ...] = ()
    """The next scheduled run of each flow, earliest first."""
    automations: tuple[AutomationState, ...] = ()


def line_status(config: Config, source: Path) -> LineStatus:
    """Return the state of a line.

    Args:
        config: Config of the line.
        source: File that the config was read from.

    Raises:
        StoreError: If the store cannot be read.
    """
    if not store_exists(config.store):
        nothing = Spending(_limits(config), config.budget.period, 0.0, 0, 0)
        return _status(config, source, is_begun=False, spending=nothing)
    with reading(config.store) as snapshot:
        query = query_of(snapshot)
        last = _last_config(query, config.name)
        cycle = _open_cycle(query, config.name, last)
        ended = _ended_stages(query, config.name, cycle, last)
        left = [name for name in _stages(config) if name not in ended]
        return _status(
            config,
            source,
            is_begun=True,
            champion=_champion(query, config.name),
            decision=_decision(query, config.name),
            wear=(wear := _wear(query, config.name)),
            wear_in_words=describe_wear(wear, config.promotion),
            cycle=cycle,
            ended_stages=ended,
            next_stage=left[0] if left else None,
            triggers=tuple(training_conditions(config, query)),
            spending=_spending(query, config),
            age_seconds=snapshot.age_seconds,
        )


def lines_of(query: Query) -> list[tuple[str, str]]:
    """Return the lines of a store, each with the config file of its last run."""
    rows = query(
        "SELECT line, source FROM cycle_runs "
        "QUALIFY row_number() OVER (PARTITION BY line ORDER BY created_at DESC) = 1 ORDER BY line",
        [],
    )
    return [(row["line"], row["source"]) for row in rows]


def _status(
    config: Config, source: Path, *, is_begun: bool, spending: Spending, **known: Any
) -> LineStatus:
    """Return a status in which nothing is known but what is given."""
    unknown: dict[str, Any] = {
        "champion": None,
        "decision": None,
        "wear": UNUSED,
        "wear_in_words": "",
        "cycle": 1,
        "ended_stages": (),
        "next_stage": STAGES[0],
        "triggers": (),
        "age_seconds": 0.0,
    }
    return LineStatus(
        line=config.name,
        config=str(source),
        store=str(config.store),
        is_begun=is_begun,
        spending=spending,
        disk=_disk(config),
        **(unknown | known),
    )


def _last_config(query: Query, line: str) -> str:
    """Return the hash of the config that the line ran with last.

    That of the present config would need the judges' code, and so seconds.
    """
    rows = query(
        "SELECT config_hash FROM cycle_runs WHERE line = ? ORDER BY created_at DESC LIMIT 1", [line]
    )
    return str(rows[0]["config_hash"]) if rows else ""


def _open_cycle(query: Query, line: str, config_hash: str) -> int:
    """Return the number of the first cycle that has not ended, as `ended_cycles` counts them."""
    (row,) = query(
        "SELECT coalesce(max(cycle), 0) AS ended FROM stage_runs WHERE line = ? AND stage = ?",
        [line, STAGES[-1]],
    )
    following = row["ended"] + 1
    decided = query(
        "SELECT 1 FROM promotions WHERE line = ? AND cycle = ? AND config_hash <> ?",
        [line, following, config_hash],
    )
    return int(following + bool(decided))


def _ended_stages(query: Query, line: str, cycle: int, config_hash: str) -> tuple[str, ...]:
    rows = query(
        "SELECT DISTINCT stage FROM stage_runs WHERE line = ? AND cycle = ? AND config_hash = ?",
        [line, cycle, config_hash],
    )
    ended = {row["stage"] for row in rows}
    return tuple(name for name in STAGES if name in ended)


def _stages(config: Config) -> Sequence[str]:
    return [name for name in STAGES if name != "revise" or config.revision]


def _champion(query: Query, line: str) -> ChampionState | None:
    rows = query(
        "SELECT model_id AS model, cycle, live_since AS since, judge, win_rate, win_rate_low, "
        "win_rate_high FROM live_models WHERE line = ?",
        [line],
    )
    return ChampionState(**rows[0]) if rows else None


def _decision(query: Query, line: str) -> Decision | None:
    rows = query(
        "SELECT cycle, promoted, reasons, created_at FROM promotions WHERE line = ? "
        "ORDER BY cycle DESC LIMIT 1",
        [line],
    )
    if not rows:
        return None
    (row,) = rows
    return Decision(row["cycle"], row["promoted"], tuple(row["reasons"]), row["created_at"])


def _wear(query: Query, line: str) -> Wear:
    return line_queries.holdout_wear(query, line, line_queries.decided_on(query, line))


def _limits(config: Config) -> dict[str, float]:
    limits = config.budget.model_dump(exclude={"period"})
    return {key: limit for key, limit in limits.items() if limit is not None}


def _spending(query: Query, config: Config) -> Spending:
    spent = spent_of_budget(query, config.name, config.budget)
    return Spending(_limits(config), config.budget.period, spent.usd, spent.tokens, spent.calls)


def _disk(config: Config) -> Disk:
    files = open_database(config.store).files
    parts = (files.database, files.log, files.snapshot)
    is_file = isinstance(config.store, Path)
    return Disk(
        store=sum(_size(path) for path in parts) + _size(files.spool) if is_file else None,
        store_free=_free(files.database) if is_file else None,
        artifacts=_size(config.artifacts),
        artifacts_free=_free(config.artifacts),
    )


def _size(path: Path) -> int:
    """Return the size of a file, or of all files of a folder; 0 if it is absent."""
    if not path.is_dir():
        return path.stat().st_size if path.exists() else 0
    size = 0
    for folder, _, names in os.walk(path):
        for name in names:
            size += os.lstat(os.path.join(folder, name)).st_size
    return size


def _free(path: Path) -> int | None:
    """Return the free space where a path is or will be."""
    for place in (path, *path.absolute().parents):
        if place.exists():
            return shutil.disk_usage(place).free
    return None
