"""Claims: a piece of work is done by one process at a time, and never held by a dead one."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlhf_core.errors import StoreError
from rlhf_core.store import Store
from rlhf_core.store.disk.claims import UNKNOWN, FileClaim
from tests.conftest import ROOT
from tests.rlhf_core.store.lakes import Lake

HOLDING = """
import sys, time
from rlhf_core.store.database import open_database
claim = open_database(sys.argv[1]).claim("stage sample of line a")
print(claim.take() or "taken", flush=True)
sys.stdin.read()
claim.release()
print("released", flush=True)
"""

LOSING = """
import logging, sys, time
from rlhf_core.store.database import open_database
from rlhf_core.store.lake import leases
logging.basicConfig(stream=sys.stdout, format="%(message)s")
leases.RENEWAL_SECONDS = 0.2
claim = open_database(sys.argv[1]).claim("stage sample of line a")
assert claim.take() is None
with claim._connected() as connection:
    leases._execute(connection, f"UPDATE {leases.TABLE} SET token = 'of another'")
time.sleep(5)
"""


def holding(address: object, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """A process that takes the claim and holds it until its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(address)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_claim_is_held_by_one_process_and_freed_by_its_death(tmp_path: Path):
    path = tmp_path / "solon.duckdb"
    with holding(path) as process:
        assert said(process) == "taken"
        claim = FileClaim(tmp_path / "solon.duckdb.claims", "stage sample of line a")
        holder = claim.take()
        assert holder is not None
        assert holder.pid == process.pid
        assert f"process {process.pid} on " in str(holder)
        other = FileClaim(tmp_path / "solon.duckdb.claims", "stage sample of line b")
        assert other.take() is None
        other.release()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert claim.take() is None
        claim.release()
    assert not list((tmp_path / "solon.duckdb.claims").iterdir())


def test_a_claim_whose_file_was_just_made_has_an_unknown_holder(tmp_path: Path):
    claim = FileClaim(tmp_path, "x")
    assert claim.take() is None
    (path,) = tmp_path.iterdir()
    path.write_text("")
    assert FileClaim(tmp_path, "x").take() == UNKNOWN
    claim.release()


def test_a_claim_that_cannot_be_written_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Or the next attempt, in the same process, would wait for this process."""

    def refuse(descriptor: int, note: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", refuse)
        with pytest.raises(StoreError, match="free space there and run again"):
            FileClaim(tmp_path, "x").take()
    claim = FileClaim(tmp_path, "x")
    assert claim.take() is None
    claim.release()


def test_a_store_waits_for_a_claim_and_says_for_whom(tmp_path: Path):
    path, waits = tmp_path / "solon.duckdb", []
    store = Store(path)
    with holding(path) as process:
        assert said(process) == "taken"

        def wait(holder: object) -> None:
            waits.append(holder)
            process.stdin.close()  # type: ignore[union-attr]

        with store.claimed("stage sample of line a", wait):  # type: ignore[arg-type]
            assert waits
            assert waits[0].pid == process.pid


@pytest.mark.slow
def test_a_lake_leases_a_claim_and_frees_that_of_the_dead(lake: Lake):
    """Two machines: what a dead one held is free within a minute and a poll."""
    with holding(lake.address, lake.environment) as first:
        assert said(first) == "taken"
        with holding(lake.address, lake.environment) as second:
            assert f"process {first.pid} on" in said(second)
            second.stdin.close()  # type: ignore[union-attr]
            assert said(second) == "released"
        first.send_signal(signal.SIGKILL)
        first.wait()
    killed, end = time.monotonic(), ""
    while end != "taken" and time.monotonic() - killed < 120:
        with holding(lake.address, lake.environment) as third:
            end = said(third)
            third.stdin.close()  # type: ignore[union-attr]
        time.sleep(2)
    assert end == "taken"
    assert time.monotonic() - killed < 75


@pytest.mark.slow
def test_a_lease_is_renewed_for_as_long_as_its_holder_lives(lake: Lake):
    with holding(lake.address, lake.environment) as first:
        assert said(first) == "taken"
        time.sleep(75)
        with holding(lake.address, lake.environment) as second:
            assert f"process {first.pid} on" in said(second)
            second.stdin.close()  # type: ignore[union-attr]
        first.stdin.close()  # type: ignore[union-attr]
        assert said(first) == "released"


@pytest.mark.slow
def test_a_holder_is_told_once_that_its_lease_went_to_another(lake: Lake):
    """As after a machine slept for longer than a lease."""
    ended = subprocess.run(
        [sys.executable, "-c", LOSING, str(lake.address)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **lake.environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        "the claim on stage sample of line a expired, and another process took it"
    ]
