"""Who is let in: Host on loopback, Origin everywhere, the token off loopback."""

import asyncio
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli.main import app as command
from flows.ui.guard import AccessCheck, is_loopback
from rlhf_core.errors import ConfigError

TOKEN = "0123456789abcdef-token"
Sent = list[dict[str, Any]]


async def _page(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"page"})


def asked(token: str | None, kind: str = "http", query: str = "", **headers: str) -> Sent:
    """What the guard sends to a request on port 8787."""
    sent: Sent = []

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {
        "type": kind,
        "method": "GET",
        "path": "/pairs",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(AccessCheck(_page, 8787, token)(scope, None, send))  # type: ignore[arg-type]
    return sent


def status(sent: Sent) -> int:
    found: int = sent[0]["status"]
    return found


def header(sent: Sent, name: str) -> str:
    return dict(sent[0]["headers"]).get(name.encode(), b"").decode()


@pytest.mark.parametrize("host", ["127.0.0.1:8787", "localhost:8787", "[::1]:8787"])
def test_loopback_names_are_let_in(host: str):
    assert status(asked(None, host=host)) == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8787", "127.0.0.1:80", ""])
def test_a_name_that_was_pointed_here_is_turned_away(host: str):
    """DNS rebinding: the browser believes that it speaks to the attacker's own site."""
    assert status(asked(None, host=host)) == 421
    assert asked(None, "websocket", host=host)[0]["type"] == "websocket.close"


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_page_of_another_origin_is_turned_away(kind: str):
    """The socket library itself takes every origin."""
    own = asked(None, kind, host="localhost:8787", origin="http://localhost:8787")
    assert own[0]["type"] in ("http.response.start", "websocket.accept")
    for origin in ("http://evil.example", "null", "http://localhost:9999"):
        refused = asked(None, kind, host="localhost:8787", origin=origin)
        assert refused[0].get("status", 403) == 403
        assert refused[0]["type"] in ("http.response.start", "websocket.close")
        assert refused[0]["type"] != "websocket.accept"


def test_the_token_is_asked_for_once_and_then_carried_by_a_cookie():
    assert status(asked(TOKEN, host="a.example")) == 401
    assert status(asked(TOKEN, query="token=wrong", host="a.example")) == 401
    welcome = asked(TOKEN, query=f"token={TOKEN}&mode=creative", host="a.example")
    assert status(welcome) == 303
    assert header(welcome, "location") == "/pairs?mode=creative"
    cookie = header(welcome, "set-cookie")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    carried = cookie.partition(";")[0]
    assert status(asked(TOKEN, host="a.example", cookie=carried)) == 200
    assert status(asked(TOKEN, host="a.example", cookie=f"{carried}x")) == 401


def test_the_websocket_needs_the_token_as_pages_do():
    def opened(**headers: str) -> str:
        return str(asked(TOKEN, "websocket", host="a.example", **headers)[0]["type"])

    assert opened() == "websocket.close"
    assert opened(cookie=f"solon_ui_8787={TOKEN}") == "websocket.accept"
    # A token in the URL of a socket would end in the logs of proxies.
    assert asked(TOKEN, "websocket", f"token={TOKEN}", host="a.example")[0]["type"] == (
        "websocket.close"
    )


def test_no_answer_lets_the_browser_reach_elsewhere():
    policy = header(asked(None, host="localhost:8787"), "content-security-policy")
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert "connect-src 'self' ws://localhost:8787 wss://localhost:8787;" in policy
    # A Host that would write policy of its own adds nothing.
    injected = asked(TOKEN, host="a; script-src *", cookie=f"solon_ui_8787={TOKEN}")
    assert "script-src *" not in header(injected, "content-security-policy")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("192.168.1.2", False), ("localhost.evil", False)],
)  # fmt: skip
def test_loopback_is_told_from_the_rest(host: str, expected: bool):
    assert is_loopback(host) is expected


def test_without_the_library_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("flows.cli.ui.find_spec", lambda name: None)
    ended = CliRunner().invoke(command, ["ui"])
    assert isinstance(ended.exception, ConfigError)
    assert "pip install 'solon[ui]'" in str(ended.exception)
