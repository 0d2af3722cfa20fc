"""The wrapper of every stage: it times the stage, and records in the store that it ended."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flows.cycle.claims import claim_work
from flows.cycle.cycle import Cycle
from flows.cycle.failing import ending
from flows.cycle.forecast import stage_begins, time_left_after
from flows.cycle.handover import Handover
from flows.cycle.identity import config_hash, deciding_part
from flows.service.artifacts import show_stage
from flows.terminal import stopping
from flows.terminal.logs import Origin
from rlhf_core.records import ConfigVersion, CycleRun, StageRun
from rlhf_core.store import Store, line_queries

_begun: set[tuple[str, str, int, str]] = set()
"""Stores with line, cycle and run of the CycleRuns that this process has added."""


@dataclass
class StageWork:
    """The store that a stage works on, and the details of its StageRun."""

    store: Store
    logger: logging.Logger
    detail: dict[str, Any] = field(default_factory=dict)
    """Counts, names and reasons after the stage. They are the same on every rerun."""
    result: Handover = field(default_factory=Handover)
    """Ids that later stages start from."""
    news: str = "nothing was missing"
    """The work of this run of the stage, for the log."""
    is_over: bool = True
    """False while something outside has to happen first: the stage is not recorded as ended."""


@contextmanager
def stage(cycle: Cycle, name: str) -> Iterator[StageWork]:
    """Run the body of a stage, which computes and adds the rows that are missing.

    Before the first stage of a run this adds the CycleRun, by which the costs and failures of the
    run are its line's. At the end it adds the stage's StageRun, if a rerun came to anything new,
    and publishes a snapshot, so that auditors see whole stages. A stage that raises leaves the rows
    that it had added, and no StageRun.
    """
    stopping.at(f"cycle {cycle.number}, stage {name}")
    work = StageWork(cycle.open_store(), logging.getLogger(f"flows.{name}"))
    with claim_work(work.store, f"stage {name} of line {cycle.line}", work.logger):
        yield from _run(cycle, name, work)


def _run(cycle: Cycle, name: str, work: StageWork) -> Iterator[StageWork]:
    started = time.monotonic()
    with ending(cycle, name, work.store):
        _begin(cycle, work.store)
        stage_begins(name)
        yield work
    if not work.is_over:
        return
    seconds = time.monotonic() - started
    _record(cycle, name, work, seconds)
    work.store.publish()
    origin = Origin(cycle.line, cycle.number, name, cycle.run_id)
    show_stage(origin, work.store, work.detail, seconds, cycle.report_path)
    summary = ", ".join(f"{key} {value}" for key, value in work.detail.items())
    left = time_left_after(name, seconds)
    work.logger.info(
        "%-13s %s; %s (%.1f s)%s", name, summary, work.news, seconds, f"; {left}" if left else ""
    )


def _begin(cycle: Cycle, store: Store) -> None:
    """Record that a run works on this cycle and under which config, unless it is recorded."""
    key = str(store.address), cycle.line, cycle.number, cycle.run_id
    if key in _begun:
        return
    version = ConfigVersion(
        config_hash=config_hash(cycle.config),
        config=cycle.config.model_dump_json(),
        deciding=json.dumps(deciding_part(cycle.config), ensure_ascii=False),
    )
    begun = CycleRun(
        line=cycle.line,
        cycle=cycle.number,
        config_hash=version.config_hash,
        source=cycle.source,
        attempt=cycle.run_id,
    )
    store.append([version, begun])
    _begun.add(key)


def _record(cycle: Cycle, name: str, work: StageWork, seconds: float) -> None:
    """Record that a stage ended, unless its last run came to the same."""
    detail = json.dumps(work.detail, ensure_ascii=False)
    result = work.result.model_dump_json(exclude_defaults=True)
    version = config_hash(cycle.config)
    while True:  # another process may take the number meanwhile
        last = line_queries.last_stage_run(work.store, cycle.line, cycle.number, name, version)
        if last is not None and (last.detail, last.result) == (detail, result):
            return
        record = StageRun(
            line=cycle.line,
            config_hash=version,
            cycle=cycle.number,
            stage=name,
            number=last.number + 1 if last else 1,
            seconds=seconds,
            detail=detail,
            result=result,
        )
        work.store.append([record])
