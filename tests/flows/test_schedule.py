"""Scheduled runs on a real server: they appear, they run, they end in the store.

Holds two pins of pyproject.toml true. With a newer fastapi every flow run is answered with 422, and
with SQLAlchemy 2.1 the scheduler never creates a run: both silently.
"""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from rlhf_core.store import Store
from tests.flows.conftest import SMOKE, places, smoke
from tests.flows.processes import start_solon
from tests.flows.serving import EVERY_10_SECONDS, ask

PATIENCE_SECONDS = 150


@pytest.mark.slow
def test_a_scheduled_cycle_appears_and_completes(environment: dict[str, str], tmp_path: Path):
    """The server is the one that `solon serve` starts itself; it need not wait for a minute."""
    config = smoke(tmp_path)
    environment = {**environment, "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
    command = ["serve", SMOKE, "--cron", EVERY_10_SECONDS, *places(tmp_path)]
    serving = start_solon(command, environment)
    try:
        assert serving.stderr is not None
        (address,) = re.findall(r"shown at (http://127\.0\.0\.1:\d+)$", serving.stderr.readline())
        deadline = time.monotonic() + PATIENCE_SECONDS
        completed: list[dict[str, object]] = []
        while not completed and time.monotonic() < deadline and serving.poll() is None:
            time.sleep(1)
            runs = ask(address, "flow_runs/filter", {"flows": {"name": {"any_": ["cycle"]}}})
            completed = [run for run in runs if run["state_type"] == "COMPLETED"]
        assert completed, (runs, serving.poll())
        assert completed[0]["auto_scheduled"]
        loaded = psutil.Process(serving.pid).memory_maps()
        assert not [file.path for file in loaded if "libtorch" in file.path]
    finally:
        os.killpg(serving.pid, signal.SIGINT)  # as Ctrl-C does: its runs are told too
        try:
            _, errors = serving.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(serving.pid, signal.SIGKILL)
            serving.communicate()
            raise
    assert "Traceback" not in errors, errors
    promotions = Store(config.store).query("SELECT cycle FROM promotions ORDER BY cycle")
    assert promotions[0]["cycle"] == 1
