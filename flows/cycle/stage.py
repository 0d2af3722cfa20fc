"""The wrapper of every stage: it times the stage, and records in the store that it ended."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flows.cycle.claims import alone
from flows.cycle.cycle import Cycle
from flows.cycle.failing import ending
from flows.cycle.forecast import time_left_after
from flows.cycle.handover import Handover
from flows.cycle.identity import config_hash
from flows.service.artifacts import show_stage
from flows.terminal import stopping
from flows.terminal.logs import Origin
from rlhf_core.records import StageRun
from rlhf_core.store import Store, line_queries


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


@contextmanager
def stage(cycle: Cycle, name: str) -> Iterator[StageWork]:
    """Run the body of a stage, which computes and adds the rows that are missing.

    At the end this adds the stage's StageRun, if a rerun came to anything new, and publishes a
    snapshot, so that auditors see whole stages. A stage that raises leaves the rows that it had
    added, and no StageRun.
    """
    stopping.at(f"cycle {cycle.number}, stage {name}")
    work = StageWork(cycle.open_store(), logging.getLogger(f"flows.{name}"))
    with alone(work.store, f"stage {name} of line {cycle.line}", work.logger):
        yield from _run(cycle, name, work)


def _run(cycle: Cycle, name: str, work: StageWork) -> Iterator[StageWork]:
    started = time.monotonic()
    with ending(cycle, name, work.store):
        yield work
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
