"""Scheduled runs on a real server: they appear, they run, they end in the store.

Holds two pins of pyproject.toml true. With a newer fastapi every flow run is answered with 422, and
with SQLAlchemy 2.1 the scheduler never creates a run: both silently.
"""

import json
import signal
import time
import urllib.request
from pathlib import Path

from rlhf_core.store import Store
from tests.flows.conftest import SMOKE, places, smoke
from tests.flows.processes import start_solon

PATIENCE_SECONDS = 150


def flow_runs(server: str) -> list[dict[str, object]]:
    request = urllib.request.Request(
        f"{server}/flow_runs/filter",
        data=json.dumps({"deployments": {"name": {"any_": ["smoke"]}}}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as reply:
        return list(json.load(reply))


def test_a_scheduled_cycle_appears_and_completes(
    server: str, environment: dict[str, str], tmp_path: Path
):
    config = smoke(tmp_path)
    serving = start_solon(
        ["serve", SMOKE, "--cron", "* * * * *", *places(tmp_path)],
        {**environment, "PREFECT_API_URL": server},
    )
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        completed: list[dict[str, object]] = []
        while not completed and time.monotonic() < deadline and serving.poll() is None:
            time.sleep(1)
            completed = [run for run in flow_runs(server) if run["state_type"] == "COMPLETED"]
        assert completed, (flow_runs(server), serving.poll())
        assert completed[0]["auto_scheduled"]
    finally:
        serving.send_signal(signal.SIGINT)
        _, errors = serving.communicate(timeout=60)
    assert "serving" in errors
    assert "Traceback" not in errors
    (promotion,) = Store(config.store).query("SELECT cycle FROM promotions WHERE cycle = 1")
    assert promotion["cycle"] == 1
