"""A vLLM server that Solon starts: it lives as long as its block, and never longer than Solon."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from flows.service.vllm_process import vllm_server
from rlhf_core.config.engine import EngineSettings
from rlhf_core.errors import ConfigError, EndpointError
from tests.conftest import ROOT

HEALTHY = """
import http.server, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
SOLON = """
import sys, time
from pathlib import Path
from flows.service.vllm_process import vllm_server
from flows.terminal import stopping
from rlhf_core.config.engine import EngineSettings
folder = Path(sys.argv[1])
settings = EngineSettings(kind="vllm", python=str(folder / "python"), start_seconds=60)
stopping.listen(is_quiet=True)
with stopping.unwinding(), vllm_server(settings, folder, 16, folder / "log") as url:
    print(url, flush=True)
    time.sleep(600)
"""
WATCHES = """
import os, subprocess, sys, time
command = [sys.executable, "-m", "flows.service.watched_process", str(os.getpid()), *sys.argv[1:]]
print(subprocess.Popen(command, start_new_session=True).pid, flush=True)
time.sleep(600)
"""
"""A parent that starts a watched program, without the imports of Solon."""
LEAVES_A_CHILD = "sleep 600 & echo $$ $! > {pids}; wait"
IS_DEAF = "trap '' TERM; sleep 600 & echo $$ $! > {pids}; wait; wait"


def environment_with(folder: Path, program: str) -> EngineSettings:
    """Return settings whose Python runs that program instead of vLLM, with vLLM's arguments."""
    (folder / "program.py").write_text(program)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {folder / "program.py"} "$@"\n')
    python.chmod(0o755)
    return EngineSettings(kind="vllm", python=str(python), start_seconds=60)


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/health", timeout=2).close()
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


def start(program: str, *arguments: str) -> "subprocess.Popen[str]":
    """Start a Python program in a process group of its own, as a terminal does."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        process_group=0,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def lives(pid: int) -> bool:
    """Return True if a process runs; one that has ended and waits to be reaped does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def watched(folder: Path, script: str) -> tuple["subprocess.Popen[str]", list[int]]:
    """Return a parent, and the pids of its watcher, of the shell that it watches, and a child."""
    pids = folder / "pids"
    parent = start(WATCHES, "sh", "-c", script.format(pids=pids))
    watcher = int(first_line(parent))
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    return parent, [watcher, *map(int, pids.read_text().split())]


def wait_until(is_so: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert is_so()


def test_a_server_lives_as_long_as_the_block(tmp_path: Path):
    settings = environment_with(tmp_path, HEALTHY)
    with vllm_server(settings, tmp_path, 16, tmp_path / "logs" / "log") as url:
        assert answers(url)
    assert not answers(url)


def test_a_server_that_ends_says_why(tmp_path: Path):
    settings = environment_with(
        tmp_path, "import sys; print(sys.argv); raise ValueError('no such model')"
    )
    log = tmp_path / "log"
    with (
        pytest.raises(EndpointError, match=r"ended while it started \(ValueError: no such model\)"),
        vllm_server(settings.model_copy(update={"sleep": True}), tmp_path, 20, log),
    ):
        pass
    said = log.read_text()
    for option in ("'--max-lora-rank', '32'", "'--enable-lora'", "'--enable-sleep-mode'"):
        assert option in said


def test_an_environment_that_is_missing_is_an_error(tmp_path: Path):
    settings = EngineSettings(kind="vllm", python=str(tmp_path / "python"))
    with (
        pytest.raises(ConfigError, match="there is no"),
        vllm_server(settings, tmp_path, 16, tmp_path / "log"),
    ):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_server_ends_with_solon_whatever_ends_it(tmp_path: Path, number: signal.Signals):
    """The signal goes to the whole process group, as Ctrl-C does; the server ignores Ctrl-C."""
    environment_with(tmp_path, HEALTHY)
    with start(SOLON, str(tmp_path)) as solon:
        url = first_line(solon)
        assert answers(url)
        os.killpg(solon.pid, number)
        code = solon.wait(20)
    assert code == (-9 if number is signal.SIGKILL else 128 + number)
    if number is signal.SIGKILL:
        wait_until(lambda: not answers(url))
    assert not answers(url)


def test_what_a_server_started_ends_with_a_solon_that_is_killed(tmp_path: Path):
    """Such as vLLM's engine core, which holds the GPU's memory."""
    parent, pids = watched(tmp_path, LEAVES_A_CHILD)
    with parent:
        assert all(map(lives, pids))
        parent.kill()
    wait_until(lambda: not any(map(lives, pids)))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux sends a signal with the parent")
def test_a_server_ends_with_its_watcher(tmp_path: Path):
    parent, pids = watched(tmp_path, "echo $$ $$ > {pids}; exec sleep 600")
    with parent:
        os.kill(pids[0], signal.SIGKILL)
        wait_until(lambda: not lives(pids[1]))
        parent.kill()


@pytest.mark.slow
def test_a_server_that_does_not_stop_is_killed(tmp_path: Path):
    """After ten seconds, with all that it started."""
    parent, pids = watched(tmp_path, IS_DEAF)
    with parent:
        parent.kill()
    time.sleep(5)
    assert lives(pids[1])
    wait_until(lambda: not any(map(lives, pids)))
