"""A Prefect server and two workers as processes of their own, each of which can be killed."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from rlhf_core.store import Store
from tests.conftest import ROOT
from tests.flows.conftest import SMOKE
from tests.flows.processes import SOLON, solon
from tests.flows.serving import ask

PROMPTS = (ROOT / "deploy" / "prompts" / "default.jsonl").read_text().splitlines(keepends=True)
CPU, GPU = "solon-cpu", "solon-gpu"
POOLS = (CPU, GPU)
PATIENCE_SECONDS = 480
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
Process = subprocess.Popen[bytes]


class Workplace:
    """A folder with a config whose policies are always promoted, a server and its workers.

    Args:
        folder: Holds the config, its prompts, the store and the logs.
        environment: Environment of the processes.
        name: Name of the policy line.
        service: The config's settings of the service.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        name: str,
        service: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.line = folder, name
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **environment,
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": f"{self.address}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
                "prefect.server.concurrency.lease_storage.filesystem"
            ),
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "SOLON_CACHE": str(folder / "cache"),
        }
        self.config = folder / "line.yaml"
        self.config.write_text(yaml.safe_dump(self._settings(service or {})))
        self.processes: dict[str, Process] = {}

    def _settings(self, service: Mapping[str, Any]) -> dict[str, Any]:
        settings = yaml.safe_load(Path(SMOKE).read_text())
        prompts = settings["prompts"] | {"path": str(self.folder / "prompts.jsonl")}
        prompts.pop("limit")
        always = {"win_rate_above": 0, "min_eos_rate": 0, "max_kl": 1000, "min_prompts": 1}
        return {
            **settings,
            "name": self.line,
            "store": str(self.folder / "solon.duckdb"),
            "artifacts": str(self.folder / "artifacts"),
            "prompts": prompts,
            "promotion": always,
            "service": dict(service),
        }

    @property
    def store(self) -> Store:
        return Store(self.folder / "solon.duckdb")

    def write_prompts(self, count: int) -> None:
        """Put the first prompts of the default file into that of the line."""
        unfinished = self.folder / "prompts.new"
        unfinished.write_text("".join(PROMPTS[:count]))
        unfinished.replace(self.folder / "prompts.jsonl")

    def start_server(self) -> None:
        command = ["-m", "flows.service.server_process", str(self.port), str(os.getpid())]
        self._start("server", [sys.executable, *command, "--with-page"])
        self.wait_for(self._is_healthy)

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/api/health", timeout=2):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def start_workers(self) -> None:
        for pool in POOLS:
            self.start_worker(pool)

    def start_worker(self, pool: str) -> None:
        command = [SOLON]
        if pool == GPU:  # the command refuses to serve it on a machine without a GPU
            command = [sys.executable, "-m", "tests.flows.worker_without_gpu"]
        self._start(pool, [*command, "worker", "--pool", pool, "--name", pool])

    def _start(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("a") as stream:
            self.processes[name] = subprocess.Popen(
                command,
                env=self.environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def solon(self, *arguments: str) -> str:
        """Run a command of the user's, which must succeed; return what it printed."""
        ended = solon(arguments, self.environment, timeout=PATIENCE_SECONDS)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def runs(self, *states: str, flow: str | None = None) -> list[dict[str, Any]]:
        """Return the runs of the line's deployments, in the order of their times."""
        body: dict[str, Any] = {
            "deployments": {"name": {"any_": [self.line]}},
            "sort": "EXPECTED_START_TIME_ASC",
        }
        if flow is not None:
            body["flows"] = {"name": {"any_": [flow]}}
        runs = ask(self.address, "flow_runs/filter", body)
        return [run for run in runs if run["state_type"] in (states or ENDED)]

    def start(self, flow: str) -> str:
        """Start a deployed flow as from the server's page; return the id of its run."""
        prefect = str(Path(sys.executable).with_name("prefect"))
        command = [prefect, "deployment", "run", f"{flow}/{self.line}"]
        ended = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=True, cwd=ROOT
        )
        found = re.search(r"UUID: ([0-9a-f-]{36})", ended.stdout)
        assert found, ended.stdout
        return found[1]

    def run(self, flow: str) -> dict[str, Any]:
        """Start a deployed flow, and wait until it has completed."""
        identity = self.start(flow)
        (ended,) = self.wait_for(
            lambda: [run for run in self.runs() if run["id"] == identity], what=flow
        )
        assert ended["state_type"] == "COMPLETED", (ended["state"], self.logs())
        return dict(ended)

    def wait_for(
        self, wanted: Callable[[], Any], seconds: float = PATIENCE_SECONDS, what: str = ""
    ) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(TimeoutError, ConnectionError, urllib.error.URLError):
                if found := wanted():
                    return found
            time.sleep(0.5)
        raise AssertionError(f"waited in vain for {what}: {self.logs()}")

    def logs(self) -> str:
        return "\n".join(
            f"{path.name}:\n{path.read_text()[-2500:]}" for path in self.folder.glob("*.log")
        )

    def kill(self, name: str, number: signal.Signals) -> None:
        """Send a signal to one of the processes alone, and wait until it is gone."""
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(60)

    def flow_processes(self) -> list[psutil.Process]:
        """Return the processes of flow runs of this place, whoever started them."""
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if "prefect" in " ".join(process.info["cmdline"] or ())
            and has_setting(process, f"PREFECT_HOME={self.folder / 'prefect'}")
            and process.pid not in {each.pid for each in self.processes.values()}
        ]

    def end(self) -> list[psutil.Process]:
        """End everything; return the processes that had to be killed although nobody ran them."""
        for name in [*POOLS, "server"]:
            if name in self.processes:
                self.kill(name, signal.SIGTERM)
        _, left = psutil.wait_procs(self.flow_processes(), timeout=20)
        for process in left:
            process.kill()
        return left


def has_setting(process: psutil.Process, setting: str) -> bool:
    name, _, value = setting.partition("=")
    try:
        return bool(process.environ().get(name) == value)
    except (psutil.Error, OSError):
        return False
