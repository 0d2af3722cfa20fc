"""Start of ranks as real processes over gloo, as torchrun starts them on one machine or several."""

import os
import socket
import subprocess
import sys

from tests.conftest import ROOT

SECONDS = 300


def run_ranks(
    module: str, *arguments: str, machines: int = 1, per_machine: int = 2, is_killed: bool = False
) -> str:
    """Run a module in several ranks, and return what rank 0 printed.

    Args:
        module: The module to run.
        arguments: Its arguments.
        machines: Number of machines that the ranks believe to be on.
        per_machine: Number of ranks on each.
        is_killed: True if every rank is expected to be killed.
    """
    ranks = machines * per_machine
    shared = {
        **os.environ, "WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(per_machine),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()),
        "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip
    started = [
        subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank % per_machine)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(ranks)
    ]
    try:
        ended = [process.communicate(timeout=SECONDS) for process in started]
    finally:
        for process in started:
            process.kill()
    for process, (_, report) in zip(started, ended, strict=True):
        assert (process.returncode != 0) == is_killed, report[-3000:]
    return ended[0][0]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
