"""Stopped or killed at random moments, `run` and `serve` go on, and leave nothing behind.

The moments are drawn from SOLON_SEED; SOLON_MOMENTS says how many of each kind, 20 if nothing does.
"""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from flows.terminal.stopping import GRACE_SECONDS
from rlhf_core.store import Store
from tests.flows.conftest import SMOKE, places, smoke
from tests.flows.processes import solon, start_solon
from tests.flows.serving import Serving, still_there

SEED = os.environ.get("SOLON_SEED", "1")
MOMENTS = int(os.environ.get("SOLON_MOMENTS", "20"))
LONGEST_SECONDS = float(os.environ.get("SOLON_LONGEST", "20"))
END_SECONDS = GRACE_SECONDS + 20
SIGNALS = (signal.SIGTERM, signal.SIGKILL)


def leftovers(folder: Path) -> list[str]:
    """Files that nobody made on purpose."""
    unwanted = (".solon-*", "*.tmp", "*.partial", "*.copy", "*.link")
    found = [path for pattern in unwanted for path in folder.rglob(pattern)]
    return [str(path) for path in found if path.suffix != ".link" or path.exists()]


def moments(seed: str) -> list[float]:
    drawn = random.Random(f"{SEED} {seed}")
    return [drawn.uniform(0.2, LONGEST_SECONDS) for _ in range(MOMENTS)]


def ended(process: "subprocess.Popen[str]", number: signal.Signals) -> tuple[int, str]:
    """Send it a signal; its exit code, and what it said."""
    if process.poll() is None:
        os.kill(process.pid, number)
    try:
        _, errors = process.communicate(timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, errors


def is_right(code: int, number: signal.Signals) -> bool:
    """Whether a process ended by the signal: through us, or by itself before we listened."""
    return code in (-number, 128 + number) or code == 0


def check(folder: Path) -> None:
    """The store fits together, and the cycle ended once."""
    store = Store(smoke(folder).store)
    assert store.query("SELECT * FROM check_orphans") == []
    assert store.query("SELECT * FROM check_duplicate_ids") == []
    assert store.query("SELECT cycle FROM promotions ORDER BY cycle")[0]["cycle"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_run_goes_on_after_random_moments(
    number: signal.Signals, environment: dict[str, str], tmp_path: Path
):
    """Every moment begins where the last one ended; the folder is new when a cycle has ended."""
    environment = {**environment, "PREFECT_HOME": str(tmp_path / "prefect")}
    folder, orphans, resumed = tmp_path / "0", 0, 0
    for place, moment in enumerate(moments(f"run {number}")):
        arguments = ["run", SMOKE, "--json", *places(folder)]
        process = start_solon(arguments, environment)
        deadline = time.monotonic() + moment
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        family = (
            psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        )
        code, errors = ended(process, number)
        assert is_right(code, number), (code, errors)
        assert "Traceback" not in errors, errors
        orphans += len(still_there(family))
        if code == 0 or place == MOMENTS - 1:
            last = solon(arguments, environment, timeout=400)
            assert last.returncode == 0, last.stderr
            assert json.loads(last.stdout)["cycle"] == 1
            check(folder)
            assert leftovers(folder) == []
            folder = tmp_path / str(place + 1)
        resumed += 1
    assert (resumed, orphans) == (MOMENTS, 0)


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_serve_goes_on_after_random_moments(
    number: signal.Signals, environment: dict[str, str], tmp_path: Path
):
    """One line of policies, stopped again and again; in the end its schedule completes a cycle."""
    environment = {**environment, "PREFECT_HOME": str(tmp_path / "prefect")}
    orphans = 0
    for moment in moments(f"serve {number}"):
        serving = Serving(tmp_path, environment)
        time.sleep(moment)
        family = serving.family()
        errors = serving.end(number)
        assert is_right(serving.process.returncode, number), errors
        assert "Traceback" not in errors, errors
        orphans += len(still_there(family))
    last = Serving(tmp_path, environment)
    try:
        under_way = {run["id"] for run in last.runs() if run["state_type"] == "RUNNING"}
        last.wait_for(lambda: last.in_state("COMPLETED"))
        assert not under_way & {run["id"] for run in last.in_state("RUNNING")}
    finally:
        last.end(signal.SIGTERM)
    assert orphans == 0
    check(tmp_path)
    assert leftovers(tmp_path) == []
