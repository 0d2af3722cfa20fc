"""What makes a flow a stage: it times itself, and signs off in the store when it ends well."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flows.cycle.cycle import Cycle
from flows.cycle.forecast import left_after
from flows.cycle.identity import config_hash
from flows.terminal import stopping
from rlhf_core.records import StageRun
from rlhf_core.store import Store


@dataclass
class StageWork:
    """The store a stage works on, and the detail it signs off with."""

    store: Store
    logger: logging.Logger
    detail: dict[str, Any] = field(default_factory=dict)
    """What there is now that it ended: counts, names, reasons. The same on every rerun."""
    news: str = "nothing was missing"
    """What this run of it did, for the log."""


@contextmanager
def stage(cycle: Cycle, name: str) -> Iterator[StageWork]:
    """Work on a stage: read what is missing, compute it, add it.

    At the end its StageRun is added and a snapshot published, so that auditors see whole stages. A
    stage that raises leaves what it had added, and no StageRun.
    """
    started = time.monotonic()
    stopping.at(f"cycle {cycle.number}, stage {name}")
    work = StageWork(cycle.open_store(), logging.getLogger(f"flows.{name}"))
    yield work
    seconds = time.monotonic() - started
    record = StageRun(
        line=cycle.line,
        config_hash=config_hash(cycle.config),
        cycle=cycle.number,
        stage=name,
        seconds=seconds,
        detail=json.dumps(work.detail, ensure_ascii=False),
    )
    work.store.append([record])
    work.store.publish()
    summary = ", ".join(f"{key} {value}" for key, value in work.detail.items())
    left = left_after(name, seconds)
    work.logger.info(
        "%-13s %s; %s (%.1f s)%s", name, summary, work.news, seconds, f"; {left}" if left else ""
    )
