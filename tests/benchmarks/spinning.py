"""Threads that sleep soon while they wait, against threads that spin: alone, and beside a busy job.

The work is a feed-forward network on two threads, in a process of its own, because OpenMP reads its
settings when it loads. The busy job is the same work on two threads, which spin.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rlhf_core.distributed.threads import CHOICES, SHORT, SPINS
from rlhf_core.models.device import Compute
from tests.benchmarks.result import Result, compare

TURNS, SECONDS = 3, 5
WORK = """
import sys, time, torch
torch.set_num_threads(2)
x, w, v = torch.randn(256, 576), torch.randn(576, 1536), torch.randn(1536, 576)
def step():
    y = x
    for _ in range(30):
        y = torch.nn.functional.silu(y @ w) @ v
        y = y / y.norm(dim=-1, keepdim=True)
step()
print("begun", flush=True)
started, steps = time.perf_counter(), 0
while time.perf_counter() - started < float(sys.argv[1]):
    step()
    steps += 1
print((time.perf_counter() - started) / steps)
"""


def run(compute: Compute) -> list[Result]:
    """Seconds of a step, alone and beside another job."""
    alone = [(_seconds(short=True), _seconds(short=False)) for _ in range(TURNS)]
    with _busy():
        beside = [(_seconds(short=True), _seconds(short=False)) for _ in range(TURNS)]
    return [
        compare("spinning", turns, "seconds a step", "OpenMP's default", detail=detail)
        for turns, detail in ((alone, "alone"), (beside, "beside a busy job"))
    ]


def _start(seconds: float, short: bool) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name not in CHOICES}
    if short:
        environment[SPINS] = SHORT
    command = [sys.executable, "-c", WORK, str(seconds)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def _seconds(short: bool) -> float:
    said, _ = _start(SECONDS, short).communicate()
    return float(said.split()[-1])


@contextmanager
def _busy() -> Iterator[None]:
    job = _start(3600, short=False)
    assert job.stdout is not None
    job.stdout.readline()
    try:
        yield
    finally:
        job.kill()
        job.wait()
