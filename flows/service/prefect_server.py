"""Starting a Prefect server for runs and schedules on a machine without one."""

import atexit
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.service.server_process import HOST
from rlhf_core.errors import SolonError
from rlhf_core.files.whole import whole_text

START_SECONDS = 90.0
STOP_SECONDS = 5.0
HEALTH_SECONDS = 1.0
# Leases in files survive a killed server, and expire.
LEASES = "prefect.server.concurrency.lease_storage.filesystem"
WITHOUT_EVENTS = "SOLON_WITHOUT_EVENTS"
"""Environment variable that is set while the server is one that does nothing with events."""


@dataclass(frozen=True)
class Server:
    """A Prefect server that runs, or is still starting."""

    address: str
    """Address of its API."""
    process: "subprocess.Popen[bytes] | None" = None
    """Its process, if this process started it."""

    @property
    def database(self) -> str:
        """Name of the database with its schedules; all servers started here share one."""
        return self.address if self.process is None else os.environ.get("PREFECT_HOME", "")

    @property
    def page(self) -> str:
        return self.address.removesuffix("/api")

    def wait(self) -> None:
        """Wait until the server answers.

        Raises:
            SolonError: If a server that this process started does not answer in time.
        """
        deadline = time.monotonic() + START_SECONDS
        while self.process is not None and time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.address}/health", timeout=2):
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
        if self.process is not None:
            raise SolonError(
                "the Prefect server did not start; try `prefect server start` by itself, or name a "
                "running server in PREFECT_API_URL"
            )


@contextmanager
def prefect_server(*, has_page: bool) -> Iterator[Server]:
    """Yield the server that PREFECT_API_URL names, or start one that ends with this process.

    Enter this before Prefect is imported: it reads the address once. Without an error, a server
    started here ends after Prefect's own work at interpreter exit, which may still need it.

    Args:
        has_page: True to serve its page and run schedules too, which takes longer to start.
    """
    configured = os.environ.get("PREFECT_API_URL")
    if configured:
        yield Server(configured)
        return
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "flows.service.server_process", str(port), str(os.getpid())]
    # In a session of its own: Ctrl-C reaches every process of the terminal's session, and those
    # still report to the server while they end.
    process = subprocess.Popen(
        command + (["--with-page"] if has_page else []),
        env={**os.environ, **_settings(port, has_page)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    atexit.register(_stop, process)
    server = Server(f"http://{HOST}:{port}/api", process)
    os.environ["PREFECT_API_URL"] = server.address
    if has_page:
        _note(port).parent.mkdir(parents=True, exist_ok=True)
        with whole_text(_note(port)) as note:
            note.write(server.address)
    else:
        os.environ[WITHOUT_EVENTS] = "1"
    try:
        yield server
    except BaseException:
        _stop(process)
        raise
    finally:
        del os.environ["PREFECT_API_URL"]
        os.environ.pop(WITHOUT_EVENTS, None)
        _note(port).unlink(missing_ok=True)


def server_in_use() -> str | None:
    """Return the API address of the server to ask about runs, or None if there is none.

    It is the one that PREFECT_API_URL names, or else one that `solon serve` started on this
    machine for this user.
    """
    configured = os.environ.get("PREFECT_API_URL")
    if configured:
        return configured
    for note in sorted(_notes().glob("[0-9]*")):
        try:
            address, began = note.read_text(encoding="ascii"), note.stat().st_mtime
        except FileNotFoundError:
            continue  # its process has just ended
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=HEALTH_SECONDS):
                return address
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            if isinstance(reason, TimeoutError):  # it is busy
                return address
            if isinstance(reason, ConnectionError) and time.time() - began > START_SECONDS:
                note.unlink(missing_ok=True)  # its process was killed
    return None


def _notes() -> Path:
    """Return the folder of notes on the servers with a page that run on this machine."""
    return Path(os.environ.get("SOLON_CACHE") or Path.home() / ".cache" / "solon") / "servers"


def _note(port: int) -> Path:
    return _notes() / str(port)


def is_shared() -> bool:
    """Return True if other processes may use the Prefect server of this one."""
    return "PREFECT_API_URL" in os.environ and WITHOUT_EVENTS not in os.environ


def _settings(port: int, has_page: bool) -> dict[str, str]:
    """Return the server's settings as environment variables; the user's own ones win."""
    settings = {
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
        # The page looks for the API on the server it came from, even if the browser reaches that
        # through a tunnel under another address.
        "PREFECT_UI_API_URL": "/api",
        "PREFECT_SERVER_UI_ENABLED": str(has_page),
    }
    defaults = {
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASES,
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }
    return settings | {name: os.environ.get(name, value) for name, value in defaults.items()}


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
