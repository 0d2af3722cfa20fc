"""Many processes on one store at once: none sees an error, and nothing acknowledged is lost.

SOLON_LOAD_SECONDS and SOLON_KILLS make the slow tests longer than they are by default.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlhf_core.store import Store
from tests.conftest import ROOT
from tests.rlhf_core.store.load import CHECKS, TABLES

LOAD_SECONDS = float(os.environ.get("SOLON_LOAD_SECONDS", "20"))
KILLS = int(os.environ.get("SOLON_KILLS", "12"))
WRITERS, READERS = 4, 2
FOREVER = 3600.0


def start(kind: str, store: Store, seconds: float, seed: int) -> "subprocess.Popen[bytes]":
    ledger = store.files.database.parent.parent / f"{kind}-{seed}.jsonl"
    ledger.touch()
    arguments = [kind, str(store.files.database), str(ledger), str(seconds), str(seed)]
    command = [sys.executable, "-m", "tests.rlhf_core.store.load", *arguments]
    # Not a pipe: a writer that spools warns of it, and would wait for someone to read that.
    with ledger.with_suffix(".errors").open("ab") as errors:
        return subprocess.Popen(command, cwd=ROOT, stderr=errors)


def lines(folder: Path, kind: str) -> Iterator[dict]:
    """Yield acknowledged lines; a line without its end was not acknowledged."""
    for ledger in folder.glob(f"{kind}-*.jsonl"):
        for line in ledger.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)


def missing(store: Store, acknowledged: list[str]) -> int:
    every = " UNION ALL ".join(f"SELECT id FROM {table}" for table in TABLES)
    found = {row["id"] for row in store.query(every)}
    return len(set(acknowledged) - found)


def wrong(store: Store) -> list[int]:
    return [next(iter(store.query(check)[0].values())) for check in CHECKS]


@pytest.mark.slow
def test_writers_and_readers_together_see_no_error_and_lose_nothing(store: Store, tmp_path: Path):
    writers = [start("writer", store, LOAD_SECONDS, seed) for seed in range(WRITERS)]
    readers = [start("reader", store, LOAD_SECONDS, seed) for seed in range(READERS)]
    for process in (*writers, *readers):
        process.wait(timeout=LOAD_SECONDS + 120)
    errors = "".join(path.read_text() for path in sorted(tmp_path.glob("*.errors")))
    assert [process.returncode for process in (*writers, *readers)] == [0] * 6, errors[-5000:]
    wrote, read = list(lines(tmp_path, "writer")), list(lines(tmp_path, "reader"))
    acknowledged = [id for line in wrote for id in line["ids"]]
    counts = store.counts()
    print(
        f"{len(acknowledged)} rows in {len(wrote)} calls, {len(read)} readings; longest wait of a "
        f"writer {max(line['waited'] for line in wrote):.2f} s, of a reader "
        f"{max(line['waited'] for line in read):.2f} s; oldest snapshot "
        f"{max(line['age'] for line in read):.1f} s"
    )
    assert len(set(acknowledged)) == len(acknowledged)
    assert missing(store, acknowledged) == 0
    assert sum(counts[table] for table in TABLES) == len(acknowledged)
    assert wrong(store) == [0, 0]
    assert max(line["rows"] for line in read) > 0


def kill_at_random(store: Store, folder: Path, kills: int, writers: int, seed: int) -> None:
    """Kill one writer after the other under the load of the rest, and look at the store each time.

    A killed one may have added what it could not acknowledge any more, but not a part of it.
    """
    choices, seeds = random.Random(seed), iter(range(100_000))
    running = [start("writer", store, FOREVER, next(seeds)) for _ in range(writers)]
    try:
        for _ in range(kills):
            before = len(list(lines(folder, "writer")))
            while len(list(lines(folder, "writer"))) == before:
                time.sleep(0.01)
            time.sleep(choices.uniform(0, 0.2))
            victim = running.pop(choices.randrange(len(running)))
            os.kill(victim.pid, signal.SIGKILL)
            victim.communicate()
            acknowledged = [id for line in lines(folder, "writer") for id in line["ids"]]
            assert missing(store, acknowledged) == 0
            assert wrong(store) == [0, 0]
            running.append(start("writer", store, FOREVER, next(seeds)))
        assert [process.poll() for process in running] == [None] * writers
    finally:
        for process in running:
            process.kill()
            process.communicate()


@pytest.mark.slow
def test_killed_at_any_moment_the_store_opens_and_keeps_what_it_acknowledged(
    store: Store, tmp_path: Path
):
    kill_at_random(store, tmp_path, KILLS, writers=3, seed=1)
    acknowledged = [id for line in lines(tmp_path, "writer") for id in line["ids"]]
    assert missing(store, acknowledged) == 0
    assert wrong(store) == [0, 0]
    left = {path.name for path in store.files.database.parent.iterdir()}
    assert not [name for name in left if name.endswith((".copy", ".damaged"))]


def test_killed_once_the_store_opens_and_keeps_what_it_acknowledged(store: Store, tmp_path: Path):
    kill_at_random(store, tmp_path, 2, writers=1, seed=2)
