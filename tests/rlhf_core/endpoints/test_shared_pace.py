"""Rates and pauses that processes share: real processes, a real server, kills and bad files."""

import errno
import fcntl
import math
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.endpoints.pacing import Pace
from rlhf_core.endpoints.shared_times import SharedTimes, times_of
from tests.conftest import ROOT

TURNS = """
import asyncio, sys, time
from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.endpoints.pacing import Pace
pace = Pace(EndpointSettings(model="m", requests_per_minute=1200), "key")
async def main():
    for _ in range(int(sys.argv[1])):
        await pace.wait_turn(5)
print("ready", flush=True)
sys.stdin.readline()
started = time.monotonic()
asyncio.run(main())
print(started, time.monotonic(), flush=True)
"""
INFINITE = struct.pack("<3d", math.inf, math.inf, math.inf)
ASKING = """
import sys, time
from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.endpoints.endpoint import Endpoint
from rlhf_core.endpoints.endpoint import ChatRequest
from rlhf_core.records.conversation import ask
settings = EndpointSettings(
    model="m", base_url=sys.argv[2] + "/v1", requests_per_minute=1200, concurrency=8
)
endpoint = Endpoint(settings)
print("ready", flush=True)
sys.stdin.readline()
started = time.monotonic()
replies = endpoint.complete([
    ChatRequest(ask(f"question {n}").messages, 16, 0.0) for n in range(int(sys.argv[1]))
])
assert not any(isinstance(reply, Exception) for reply in replies), replies
print(started, time.monotonic(), flush=True)
"""


def processes(program: str, count: int, cache: Path, *arguments: str) -> list[tuple[float, float]]:
    """Run the program in processes that start together, and return when each began and ended."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), "SOLON_CACHE": str(cache)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    said = [process.stdin for process in running]
    for stdin in said:
        assert stdin is not None
        stdin.write("\n")
        stdin.flush()
    outs = [process.communicate(timeout=60)[0].split() for process in running]
    return [(float(out[0]), float(out[1])) for out in outs]


def test_two_processes_keep_one_rate(tmp_path: Path):
    """20 a second after a burst of 21: 50 take 1.45 s, where two rates would let all go in 0.2."""
    times = processes(TURNS, 2, tmp_path, "25")
    assert max(end for _, end in times) - min(start for start, _ in times) >= 1.4


def test_the_file_names_neither_key_nor_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rlhf_core.endpoints.shared_times.cache_folder", lambda: tmp_path)
    Pace(EndpointSettings(model="m", requests_per_minute=60), "sk-secret").requests.take(1, 5.0)
    (path,) = tmp_path.iterdir()
    assert len(path.name) == 20
    assert path.stat().st_mode & 0o077 == 0
    assert b"secret" not in path.read_bytes()


def test_each_model_server_and_key_has_times_of_its_own(tmp_path: Path):
    first, second = times_of(("url", "", "m", "a"), 1), times_of(("url", "", "m", "b"), 1)
    first.change(0, lambda time: 7.0)
    assert first.read(0) == 7.0
    assert second.read(0) == -math.inf
    assert times_of(("url", "", "m", "a"), 1).read(0) == 7.0


@pytest.mark.parametrize("content", [b"", b"abc", b"\x00" * 24, b"\xff" * 24, INFINITE])
def test_a_damaged_file_starts_anew(tmp_path: Path, content: bytes):
    path = tmp_path / "times"
    path.write_bytes(content)
    times = SharedTimes(path, 3)
    assert times.change(2, lambda time: max(time, 4.0)) == -math.inf
    assert times.read(2) == 4.0


def test_a_file_that_is_removed_is_made_again(tmp_path: Path):
    times = SharedTimes(tmp_path / "times", 1)
    times.change(0, lambda time: 4.0)
    (tmp_path / "times").unlink()
    assert times.read(0) == -math.inf
    times.change(0, lambda time: 5.0)
    assert SharedTimes(tmp_path / "times", 1).read(0) == 5.0


def test_without_a_folder_a_process_keeps_its_own_times(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").write_text("")
    times = SharedTimes(tmp_path / "file" / "times", 1)
    times.change(0, lambda time: 4.0)
    assert times.change(0, lambda time: 5.0) == 4.0
    assert times.read(0) == 5.0
    (warning,) = caplog.messages
    assert "keeps its rate limits for itself" in warning


def test_without_locks_a_process_keeps_its_own_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    times = SharedTimes(tmp_path / "times", 1)
    times.change(0, lambda time: 4.0)
    assert times.change(0, lambda time: 5.0) == 4.0
    (warning,) = caplog.messages
    assert "No locks available" in warning


def test_a_killed_process_blocks_nobody(tmp_path: Path):
    held = "import fcntl, sys, time; f = open(sys.argv[1], 'r+b'); fcntl.flock(f, 2); "
    held += "print('held', flush=True); time.sleep(60)"
    path = tmp_path / "times"
    times = SharedTimes(path, 1)
    times.change(0, lambda time: 4.0)
    with subprocess.Popen([sys.executable, "-c", held, str(path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert times.change(0, lambda time: 5.0) == 4.0


def test_a_turn_costs_little():
    """Against a request to a server, which takes milliseconds at least."""
    pace = Pace(EndpointSettings(model="m", requests_per_minute=1e12, tokens_per_minute=1e12))
    started = time.perf_counter()
    for _ in range(1000):
        pace.requests.take(1.0, time.monotonic())
        pace.tokens.take(5.0, time.monotonic())
    assert time.perf_counter() - started < 1.0


@pytest.mark.slow
def test_two_processes_share_the_rate_of_one_server(tmp_path: Path):
    command = [sys.executable, "-m", "tests.remote_server", "--latency", "0.01", "--faults", "0"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as server:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        times = processes(ASKING, 2, tmp_path, "40", address)
        server.stdin.close()  # type: ignore[union-attr]
    assert max(end for _, end in times) - min(start for start, _ in times) >= 2.9
