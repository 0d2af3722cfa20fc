"""Processes that write to a store and read from it until they are killed or their time is up.

python -m tests.rlhf_core.store.load writer|reader STORE LEDGER SECONDS SEED

Each line of a ledger is a JSON object: what a call added that has returned, and how long it took.
"""

import json
import random
import sys
import time
from pathlib import Path

from rlhf_core.records import Candidate, Judgement, Outcome, Prompt
from rlhf_core.store import Store, reading
from rlhf_core.store import store as store_module
from rlhf_core.store.columns import table_of
from tests.facts import candidate, prompt

TABLES = ("prompts", "candidates", "judgements")
CHECKS = [f"SELECT count(*) FROM check_{name}" for name in ("duplicate_ids", "orphans")]
BULK_ROWS = 5000


def facts(
    name: str, candidates: int, judgements: int
) -> tuple[Prompt, list[Candidate], list[Judgement]]:
    """A prompt with what refers to it."""
    asked = prompt(name)
    answers = [candidate(f"{name} {n}", n, prompt_id=asked.id) for n in range(candidates)]
    votes = [
        Judgement(
            prompt_id=asked.id,
            judge="j",
            judge_version=f"j-{n}",
            candidate_id=answers[n % candidates].id,
            outcome=Outcome.SCORED,
            score=0.5,
            attempt=str(n),
        )
        for n in range(judgements)
    ]
    return asked, answers, votes


def write(path: str, ledger: Path, seconds: float, seed: int) -> None:
    """Small batches for the most part; now and then a large one, a snapshot, a rewrite."""
    choices, until = random.Random(seed), time.monotonic() + seconds
    if seed % 4 == 3:  # one of the writers spools where the others wait
        store_module.APPEND_TIMEOUT_SECONDS = 0.05
    store = Store(path, run_id=f"writer {seed}")
    with ledger.open("a", encoding="utf-8") as lines:
        number = 0
        while time.monotonic() < until:
            number += 1
            name, kind, started = f"{seed} {number}", choices.random(), time.monotonic()
            added: list[str] = []
            if kind < 0.9:
                asked, answers, votes = facts(name, 8, 40)
                store.append([asked, *answers, *votes])
                added = [fact.id for fact in (asked, *answers, *votes)]
            elif kind < 0.95:
                asked, answers, votes = facts(name, 8, BULK_ROWS)
                store.append([asked, *answers])
                added = [fact.id for fact in (asked, *answers, *votes)]
                started = time.monotonic()
                store.append_table(Judgement, table_of(Judgement, votes))
            elif kind < 0.99:
                store.publish()
            else:
                store.rewrite()
            line = {"waited": time.monotonic() - started, "ids": added}
            lines.write(json.dumps(line) + "\n")
            lines.flush()


def read(path: str, ledger: Path, seconds: float, seed: int) -> None:
    """Every snapshot must be whole; one of the readers lingers in its own."""
    until = time.monotonic() + seconds
    with ledger.open("a", encoding="utf-8") as lines:
        while time.monotonic() < until:
            started = time.monotonic()
            with reading(path) as snapshot:
                counts = [
                    snapshot.query(f"SELECT count(*) FROM {table}").rows[0][0] for table in TABLES
                ]
                waited = time.monotonic() - started
                wrong = [snapshot.query(check).rows[0][0] for check in CHECKS]
                if seed % 2:
                    time.sleep(3)
                again = [
                    snapshot.query(f"SELECT count(*) FROM {table}").rows[0][0] for table in TABLES
                ]
            assert wrong == [0, 0], wrong
            assert again == counts
            line = {"waited": waited, "rows": sum(counts), "age": snapshot.age_seconds}
            lines.write(json.dumps(line) + "\n")
            lines.flush()
            time.sleep(0.05)


if __name__ == "__main__":
    work = {"writer": write, "reader": read}[sys.argv[1]]
    work(sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
