"""Runs `solon` with these arguments and kills it with SIGKILL inside a stage.

    python -m tests.flows.killed STAGE[:APPEND] run CONFIG …

The kill comes right after the stage's first append of facts, or that of the number given: its work
has begun and not ended.
"""

import os
import signal
import sys

from flows.cli import main
from flows.cycle import stage as stage_module
from rlhf_core.records import StageRun
from rlhf_core.store import Store

victim, _, number = sys.argv.pop(1).partition(":")
left = int(number or 1)
current = ""
exact_stage, exact_append = stage_module.stage, Store.append


def append(self: Store, records: object) -> int:
    global left
    facts = list(records)  # type: ignore[call-overload]
    if current == victim and any(isinstance(fact, StageRun) for fact in facts):
        os.kill(os.getpid(), signal.SIGKILL)  # a stage that found nothing to add before
    added = exact_append(self, facts)
    left -= current == victim and bool(facts)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return added


def stage(cycle: object, name: str) -> object:
    global current
    current = name
    return exact_stage(cycle, name)  # type: ignore[arg-type]


Store.append = append  # type: ignore[method-assign]
stage_module.stage = stage  # type: ignore[assignment]
main.main()
