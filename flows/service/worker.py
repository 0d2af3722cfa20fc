"""A worker of a Prefect work pool, started and stopped as one command."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from uuid import UUID

import psutil

from flows.service.flow_process import FLOW_RUN
from flows.service.janitor import close_runs
from flows.terminal import stopping

STOP_SECONDS = 7.0
"""Time that flow runs and worker have to end by themselves; stopping.GRACE_SECONDS is for all."""
SETTINGS = {
    # By its heartbeats, the server notices that a flow run is dead.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    "PREFECT_WORKER_QUERY_SECONDS": "5",
}


def run_worker(pool: str, limit: int, name: str | None) -> int:
    """Run a Prefect worker until it ends or this process is told to stop.

    On a signal, the worker takes no more runs, and its flow runs are told to stop: each keeps what
    it has done, and the next run resumes.

    Args:
        pool: Name of the work pool.
        limit: Number of flow runs at once.
        name: Name of the worker; None has Prefect choose one.

    Returns:
        The worker's exit code.
    """
    options = ["--pool", pool, "--type", "process", "--limit", str(limit)]
    options += ["--install-policy", "never", *(["--name", name] if name else [])]
    # In a session of its own, so that Ctrl-C reaches it only from here.
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.service.worker_process", str(os.getpid()), *options],
        env={**SETTINGS, **os.environ},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    stopping.stop_by(partial(_stop, process))
    return process.wait()


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the worker and its flow runs, whatever they do."""
    with suppress(psutil.NoSuchProcess):
        worker = psutil.Process(process.pid)
        runs = worker.children(recursive=True)
        started = {UUID(each) for each in map(_flow_run, runs) if each}
        worker.send_signal(signal.SIGINT)  # it takes no more runs, and waits for these
        for each in runs:
            with suppress(psutil.NoSuchProcess):
                each.terminate()
        psutil.wait_procs([worker, *runs], timeout=STOP_SECONDS)
        left = [*runs, worker]
        with suppress(psutil.NoSuchProcess):
            left += worker.children(recursive=True)
        for each in left:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        close_runs(started, "its worker was told to stop")


def _flow_run(process: psutil.Process) -> str:
    """Return the id of the flow run that a process runs; empty if it runs none."""
    with suppress(psutil.Error):
        return process.environ().get(FLOW_RUN, "")
    return ""
