"""A Prefect server of our own, for schedules on a machine that has none."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager

from rlhf_core.errors import SolonError

START_SECONDS = 90.0


@contextmanager
def prefect_server() -> Iterator[str]:
    """The address of a running server: the one PREFECT_API_URL names, or one started here.

    Must be entered before Prefect is imported, which reads the address once.

    Raises:
        SolonError: If the server does not come up.
    """
    configured = os.environ.get("PREFECT_API_URL")
    if configured:
        yield configured
        return
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/api"
    command = f"prefect server start --host 127.0.0.1 --port {port} --log-level ERROR".split()
    # In a session of its own: Ctrl-C reaches everything in the terminal's, and what ends there
    # still has to tell the server.
    server = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_until_healthy(server, address)
        os.environ["PREFECT_API_URL"] = address
        yield address
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        server.terminate()
        server.wait()


def _wait_until_healthy(server: "subprocess.Popen[bytes]", address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise SolonError(
        "the Prefect server did not start; try `prefect server start` by itself, or name a "
        "running one in PREFECT_API_URL"
    )
