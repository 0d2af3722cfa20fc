"""`solon serve` as a process of its own, watched through its server and its process tree."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from tests.conftest import ROOT
from tests.flows.conftest import SMOKE, places
from tests.flows.processes import SOLON

EVERY_10_SECONDS = "* * * * * */10"
PATIENCE_SECONDS = 480
END_SECONDS = 60
UNDER_WAY = ("PENDING", "RUNNING", "CANCELLING")


class Serving:
    """A serving process: its server's address, its flow runs, its end."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *options: str,
        cron: str = EVERY_10_SECONDS,
    ) -> None:
        # A file, for a pipe that nobody reads stops who writes to it.
        self.log = folder / f"serve-{time.monotonic_ns()}.log"
        command = [SOLON, "serve", SMOKE, "--cron", cron, *places(folder), *options]
        with self.log.open("w") as stream:
            self.process = subprocess.Popen(
                command,
                env={**environment, "PREFECT_RUNNER_POLL_FREQUENCY": "1"},
                cwd=ROOT,
                stdout=stream,
                stderr=stream,
                process_group=0,
            )
        self.address = str(self.wait_for(self._announced))

    def _announced(self) -> str | None:
        found = re.search(r"shown at (http://127\.0\.0\.1:\d+)\n", self.log.read_text())
        return found[1] if found else None

    def runs(self, name: str = "cycle") -> list[dict[str, Any]]:
        """Flow runs of that flow, newest last."""
        body = {"flows": {"name": {"any_": [name]}}, "sort": "EXPECTED_START_TIME_ASC"}
        return ask(self.address, "flow_runs/filter", body)

    def wait_for(self, wanted: Callable[[], object]) -> Any:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            if found := wanted():
                return found
            time.sleep(0.1)
        raise AssertionError(self.log.read_text()[-3000:])

    def in_state(self, *states: str) -> list[dict[str, Any]]:
        return [run for run in self.runs() if run["state_type"] in states]

    def family(self) -> list[psutil.Process]:
        """Every process that came of it, itself left out."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: signal.Signals) -> str:
        """Send it a signal, alone; what it said."""
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise
        return self.log.read_text()


def ask(address: str, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    request = urllib.request.Request(
        f"{address}/api/{path}",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as reply:
        return list(json.load(reply))


def still_there(processes: list[psutil.Process], seconds: float = 15.0) -> list[psutil.Process]:
    """Which of them are alive, after so long."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return [process for process in alive if process.is_running()]
