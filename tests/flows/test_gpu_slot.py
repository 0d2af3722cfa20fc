"""One stage at a time on a GPU: a real server, two processes, SIGKILL."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.cycle.cycle import cycle_of
from flows.service import gpu
from flows.service.prefect_server import WITHOUT_EVENTS
from tests.conftest import ROOT
from tests.flows.conftest import smoke
from tests.flows.workplace import Workplace

TAKES = """
import logging, sys, time
from pathlib import Path
from flows.cycle.cycle import Cycle, cycle_of
from flows.cycle.flow_runs import cycle_flow
from flows.service import gpu
from tests.flows.conftest import smoke
gpu.FIRST_SAID_SECONDS = 1.0
logging.getLogger("flows").addHandler(logging.StreamHandler())
logging.getLogger("flows").setLevel("INFO")

@cycle_flow("takes the gpu")
def takes(cycle: Cycle) -> None:
    started = time.monotonic()
    gpu.take_gpu(cycle.config)
    gpu.take_gpu(cycle.config)  # once a stage
    print("taken", time.monotonic() - started, flush=True)
    sys.stdin.readline()

takes(cycle_of(smoke(Path(sys.argv[1]), f"service.gpu_limit={sys.argv[2]}"), 1))
print("ended", flush=True)
"""


Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def place(environment: dict[str, str], tmp_path: Path) -> Iterator[Workplace]:
    """A server with all its services, of which one frees the slots of the dead."""
    place = Workplace(tmp_path, environment, "slots")
    place.start_server()
    with temporary_settings({PREFECT_API_URL: place.environment["PREFECT_API_URL"]}):
        yield place
    place.end()


@pytest.fixture
def start(place: Workplace, tmp_path: Path) -> Iterator[Start]:
    """Starts a process with a stage that takes the slot of a name."""
    settings = {
        **place.environment,
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "flows",
        "PYTHONPATH": str(ROOT),
    }
    with ExitStack() as processes, (tmp_path / "log").open("a") as log:

        def start(limit: str) -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                [sys.executable, "-c", TAKES, str(tmp_path), limit],
                env=settings,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
            )
            processes.enter_context(process)
            processes.callback(process.kill)
            return process

        yield start


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().split()[0]


def go_on(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def active(limit: str) -> int:
    with get_client(sync_client=True) as client:
        return client.read_global_concurrency_limit_by_name(limit).active_slots


def test_a_cpu_needs_no_slot_unless_asked(tmp_path: Path):
    assert gpu.slots_of(smoke(tmp_path)) == []
    assert gpu.slots_of(smoke(tmp_path, "service.gpu_limit=mine")) == ["mine"]


def test_a_gpu_is_named_by_its_number_on_the_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-abc")
    assert gpu._physical(0) == "3"
    assert gpu._physical(1) == "GPU-abc"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert gpu._physical(1) == "1"


def test_without_a_shared_server_nothing_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    config = cycle_of(smoke(tmp_path, "service.gpu_limit=mine"), 1).config
    with gpu.releasing():
        gpu.take_gpu(config)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv(WITHOUT_EVENTS, "1")
    with gpu.releasing():
        gpu.take_gpu(config)


@pytest.mark.slow
def test_one_stage_at_a_time_holds_the_slot_and_its_end_frees_it(tmp_path: Path, start: Start):
    first = start("one-at-a-time")
    assert said(first) == "taken"
    assert active("one-at-a-time") == 1
    second = start("one-at-a-time")
    deadline = time.monotonic() + 120
    while "waits for one-at-a-time" not in (tmp_path / "log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert "which is held by smoke-" in (tmp_path / "log").read_text()
    go_on(first)
    assert said(first) == "ended"
    assert said(second) == "taken"
    go_on(second)
    assert said(second) == "ended"
    deadline = time.monotonic() + 30
    while active("one-at-a-time"):
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.slow
def test_the_slot_of_a_killed_stage_is_free_a_minute_later(start: Start):
    first = start("killed")
    assert said(first) == "taken"
    first.send_signal(signal.SIGKILL)
    first.wait()
    killed = time.monotonic()
    second = start("killed")
    assert said(second) == "taken"
    print(f"free {time.monotonic() - killed:.0f} s after the kill")
    assert time.monotonic() - killed < 150
    go_on(second)
    assert said(second) == "ended"
