"""The access check in front of every request and every websocket.

On loopback without a token, the Host header must name loopback, which refuses foreign names that
resolve to it (DNS rebinding). Requests from pages of another origin are always refused, and the
headers of each response keep the browser from loading or sending anything elsewhere.
"""

import hmac
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_PARAMETER = "token"
# Vue compiles templates in the browser, hence eval; nothing may come from or go to elsewhere.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self' {socket}; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
WELCOME = f"""<!doctype html><html lang="en"><title>Token · Solon</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<style>body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 34em; margin: 14vh auto;
padding: 0 20px }} input, button {{ font: inherit; padding: 4px 10px }}
input {{ width: 18em; max-width: 100% }}</style>
<h1>Solon</h1><p>This store is shown to those who have its token: open the URL that
<code>solon ui</code> printed, or write the token here.</p>
<form><label>Token <input name="{TOKEN_PARAMETER}" type="password" required autofocus></label>
<button>open</button></form></html>"""
HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class AccessCheck:
    """An application behind checks of Host, Origin and, if set, a token.

    Args:
        app: The guarded application.
        port: The port it is served on.
        token: What visitors must bring, in the URL first and in a cookie from then on; None on
            loopback, where Host is checked instead.
    """

    def __init__(self, app: ASGIApp, port: int, token: str | None) -> None:
        self.app = app
        self._token = token
        self._cookie = f"solon_ui_{port}"
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is None:
            await self.app(scope, receive, _with_headers(send, headers.get("host", "")))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, _with_headers(send, ""))

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the response that refuses a request, or None if the request is allowed."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._token is None and host.lower() not in self._hosts:
            return PlainTextResponse("this page answers to loopback names only", 421)
        if origin is not None and origin.partition("://")[2] != host:
            return PlainTextResponse("this page answers to its own pages only", 403)
        if self._token is None or self._holds(_cookie(headers, self._cookie)):
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        if scope["type"] == "http" and self._holds(dict(query).get(TOKEN_PARAMETER)):
            return self._welcome(scope["path"], query)
        return HTMLResponse(WELCOME, 401)

    def _holds(self, offered: str | None) -> bool:
        wanted = (self._token or "").encode()
        return offered is not None and hmac.compare_digest(offered.encode(), wanted)

    def _welcome(self, path: str, query: Iterable[tuple[str, str]]) -> Response:
        """Redirect to the page without the token in its URL, and keep the token in a cookie."""
        rest = urlencode([(name, value) for name, value in query if name != TOKEN_PARAMETER])
        # A path of two slashes would be another host's.
        where = "/" + path.lstrip("/") + (f"?{rest}" if rest else "")
        answer = RedirectResponse(where, 303)
        answer.set_cookie(
            self._cookie, self._token or "", httponly=True, samesite="lax", max_age=30 * 86400
        )
        return answer


def _cookie(headers: Headers, name: str) -> str | None:
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return None
    return cookie.value if cookie else None


def _with_headers(send: Send, host: str) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer = MutableHeaders(scope=message)
            answer.update(HEADERS)
            # Older browsers do not count a websocket of the same host as 'self'.
            safe = host if host.replace(".", "").replace(":", "").replace("-", "").isalnum() else ""
            socket = f"ws://{safe} wss://{safe}" if safe else ""
            answer["Content-Security-Policy"] = POLICY.format(socket=socket)
        await send(message)

    return with_headers
