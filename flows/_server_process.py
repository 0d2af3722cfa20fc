"""The Prefect server as a process that ends with the command that started it.

    python -m flows._server_process PORT PARENT [--with-page]

What `prefect server start` runs, without its welcome; without the page only the API, and none of
the services that schedules need.
"""

import sys

from flows._parent import end_with

HOST = "127.0.0.1"
SHUTDOWN_SECONDS = 2


def main() -> None:
    """Serve until SIGTERM, or until the parent is gone."""
    port, parent = int(sys.argv[1]), int(sys.argv[2])
    end_with(parent)
    import uvicorn
    from prefect.server.api.server import create_app

    uvicorn.run(
        create_app(final=True, webserver_only="--with-page" not in sys.argv),
        host=HOST,
        port=port,
        log_level="critical",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


if __name__ == "__main__":
    main()
