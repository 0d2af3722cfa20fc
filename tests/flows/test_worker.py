"""`solon worker` with a real server: signals end it and its flow runs without a trace."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectAlreadyExists
from prefect.flows import Flow

from tests.conftest import ROOT
from tests.flows.serving import still_there

pytestmark = pytest.mark.slow
POOL = "solon-test"


@pytest.fixture
def run(server: str, tmp_path: Path) -> Path:
    """A flow run that waits for a worker; the file holds its process id once it runs."""
    note = tmp_path / "pid"
    with get_client(sync_client=True) as client:
        with suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        flow = Flow.from_source(str(ROOT), "tests/flows/sleeping.py:sleeping")
        deployment = flow.deploy("test", work_pool_name=POOL, print_next_steps=False)  # type: ignore[union-attr]
        client.create_flow_run_from_deployment(deployment, parameters={"note": str(note)})
    return note


@pytest.fixture
def worker(server: str, run: Path, tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker that runs it."""
    settings = {
        "PREFECT_API_URL": server,
        "PYTHONPATH": str(ROOT),
        "SOLON_CACHE": str(tmp_path / "cache"),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "worker", "--pool", POOL],
            env={**os.environ, **settings},
            stderr=log,
            stdout=log,
            cwd=tmp_path,
        )
        try:
            deadline = time.monotonic() + 240
            while not run.exists() or not run.read_text():
                assert process.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.5)
            yield process
        finally:
            process.kill()
            process.wait()


def family(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_worker_and_its_runs(
    worker: "subprocess.Popen[bytes]", run: Path, number: signal.Signals, code: int
):
    everybody = family(worker)
    assert int(run.read_text()) in [each.pid for each in everybody]
    told = time.monotonic()
    worker.send_signal(number)
    assert worker.wait(timeout=60) == code
    print(f"ended {time.monotonic() - told:.1f} s after {number.name}")
    assert time.monotonic() - told < 11
    assert still_there(everybody) == []


def test_a_killed_worker_leaves_no_process(worker: "subprocess.Popen[bytes]"):
    everybody = family(worker)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert still_there(everybody, seconds=30) == []


def test_the_run_of_a_worker_that_was_told_to_stop_is_not_left_running(
    worker: "subprocess.Popen[bytes]", run: Path
):
    worker.terminate()
    worker.wait(timeout=60)
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs()
    (state,) = [each.state_type for each in runs if each.parameters.get("note") == str(run)]
    assert state is not StateType.RUNNING
