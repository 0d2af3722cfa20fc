"""The Prefect server as a process that ends with the command that started it.

    python -m flows.service.server_process PORT PARENT [--with-page]

It runs the same application as `prefect server start`, without the banner. Without the page, it
serves only the API, and none of the services that schedules need.
"""

import os
import sys
from typing import TYPE_CHECKING

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
    """Middleware that keeps Prefect's page from contacting any other server."""

    POLICY = (b"content-security-policy", b"connect-src 'self'")

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        async def send_with_policy(message: "Message") -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], self.POLICY]}
            await send(message)

        await self._app(scope, receive, send_with_policy)


def main() -> None:
    """Serve until SIGTERM, or until the parent is gone."""
    port, parent = int(sys.argv[1]), int(sys.argv[2])
    end_with(parent)
    for name, value in PATIENT.items():
        os.environ.setdefault(name, value)
    import uvicorn
    from prefect.server.api.server import create_app

    uvicorn.run(
        _OwnServerAlone(create_app(final=True, webserver_only="--with-page" not in sys.argv)),
        host=HOST,
        port=port,
        log_level="critical",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


if __name__ == "__main__":
    main()
