"""The Prefect server as a process that ends with the command that started it.

    python -m flows.service.server_process PORT PARENT [--with-page]

It runs the same application as `prefect server start`, without the banner. Without the page, it
serves only the API, and none of the services that schedules need.
"""

import fcntl
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from flows.terminal.parent import end_with

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
SHUTDOWN_SECONDS = 2
PATIENT = {
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
    "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
}
"""Settings with which SQLite keeps up: fewer, larger writes, and none refused on a busy machine
because another holds the lock for ten seconds. Variables that are set already win."""


class _OwnServerAlone:
    """Middleware that keeps Prefect's page from contacting any other server.

    Args:
        app: The application.
        starting: A lock to release once the application has started.
    """

    POLICY = (b"content-security-policy", b"connect-src 'self'")

    def __init__(self, app: "ASGIApp", starting: IO[bytes]) -> None:
        self._app, self._starting = app, starting

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        async def send_with_policy(message: "Message") -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], self.POLICY]}
            if message["type"].startswith("lifespan.startup."):
                self._starting.close()
            await send(message)

        await self._app(scope, receive, send_with_policy)


def main() -> None:
    """Serve until SIGTERM, or until the parent is gone."""
    port, parent = int(sys.argv[1]), int(sys.argv[2])
    end_with(parent)
    for name, value in PATIENT.items():
        os.environ.setdefault(name, value)
    starting = _first_to_start()
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app(final=True, webserver_only="--with-page" not in sys.argv)
    uvicorn.run(
        _OwnServerAlone(app, starting),
        host=HOST,
        port=port,
        log_level="critical",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def _first_to_start() -> IO[bytes]:
    """Return a lock, once no other server is starting on the same database.

    A server makes and upgrades its tables when it starts, and one that meets the tables half made
    fails.
    """
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
    home.mkdir(parents=True, exist_ok=True)
    lock = (home / "solon-starting").open("ab")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


if __name__ == "__main__":
    main()
