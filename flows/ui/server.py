"""Serving the audit page: one process, behind the guard, until interrupted."""

import os
import secrets
import socket
import webbrowser
from pathlib import Path
from threading import Timer

import typer
import uvicorn
from fastapi import FastAPI
from nicegui import ui

from flows.ui import model, overview, pair, pairs, spot_check, sql
from flows.ui.guard import AccessCheck, is_loopback
from flows.ui.source import Source
from rlhf_core.errors import ConfigError
from rlhf_core.store import reading
from rlhf_core.store.audit.apart import prepare

TOKEN_VARIABLE = "SOLON_UI_TOKEN"
SHORTEST_TOKEN = 16
OPEN_AFTER_SECONDS = 1.0


def serve(
    store: Path | str, host: str, port: int, should_open: bool, timeout_seconds: float
) -> None:
    """Serve the store's pages until interrupted.

    Args:
        store: Path or address of the store.
        host: Address to serve on; on any but loopback, visitors need a token.
        port: Port to serve on.
        should_open: True to open the page in a browser.
        timeout_seconds: Time limit of a visitor's own statement.

    Raises:
        StoreError: If there is no store at that path.
        ConfigError: If the port is taken, or SOLON_UI_TOKEN too short to be a secret.
    """
    with reading(store):  # a missing store is an error here, not on every page
        pass
    token = _token(host)
    _check_free(host, port)
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    address = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"
    if token is not None:
        address += f"?token={token}"
    typer.echo(f"the store {store} is shown at {address}", err=True)
    if should_open:
        Timer(OPEN_AFTER_SECONDS, webbrowser.open, [address]).start()
    prepare("flows.ui.statements")
    application = guarded_application(Source(store, timeout_seconds), port, token)
    uvicorn.run(application, host=host, port=port, log_level="warning", access_log=False)


def guarded_application(source: Source, port: int, token: str | None) -> AccessCheck:
    """Return the application with all pages over one store.

    Args:
        source: The store.
        port: Port that it is served on.
        token: Token that visitors need; None on loopback.
    """
    for page in (overview, pairs, pair, model, sql, spot_check):
        page.register(source)
    app = FastAPI(openapi_url=None)
    ui.run_with(
        app, title="Solon", dark=None, tailwind=False, show_welcome_message=False, language="en-US"
    )
    return AccessCheck(app, port, token)


def _token(host: str) -> str | None:
    """Return the token that visitors need: the one set, else a new one off loopback, else None."""
    given = os.environ.get(TOKEN_VARIABLE)
    if given is not None and len(given) < SHORTEST_TOKEN:
        raise ConfigError(f"{TOKEN_VARIABLE} has fewer than {SHORTEST_TOKEN} characters")
    return given or (None if is_loopback(host) else secrets.token_urlsafe(32))


def _check_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"cannot serve on {host} port {port}: {error.strerror}; choose another --port"
            ) from None
