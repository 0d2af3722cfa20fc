"""Servers on loopback that answer as a test wants, in threads here or in processes of their own."""

import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parent.parent
Answer = tuple[int, dict[str, str], str]


def completion(text: str = "Paris.", **choice: Any) -> Answer:
    body = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": text},
                **choice,
            }
        ],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500},
    }
    return 200, {}, json.dumps(body)


class QuietHandler(BaseHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


class ManyAtATime(ThreadingHTTPServer):
    """Takes as many connections at once as any test opens: past the usual 5 they are reset."""

    request_queue_size = 512


class Loopback:
    """A server in threads of its own, from the start until it is closed."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self.http = ManyAtATime(("127.0.0.1", 0), handler)
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/v1"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


AnyServer = TypeVar("AnyServer", bound=Loopback)


@contextmanager
def started(server: type[AnyServer]) -> Iterator[Callable[..., AnyServer]]:
    """Starts servers with the arguments it is given, and closes them all in the end."""
    with ExitStack() as stack:

        def start(*arguments: Any, **options: Any) -> AnyServer:
            return stack.enter_context(closing(server(*arguments, **options)))

        yield start


class Server(Loopback):
    """Answers each request by what `answer` makes of its body and number."""

    def __init__(self, answer: Callable[[dict[str, Any], int], Answer]) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.paths: list[str] = []
        self.headers: list[Message] = []
        self.busiest = 0
        self.busy = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with outer._lock:
                    outer.requests.append(body)
                    outer.keys.append(self.headers.get("authorization"))
                    outer.paths.append(self.path)
                    outer.headers.append(self.headers)
                    number = len(outer.requests)
                    outer.busy += 1
                    outer.busiest = max(outer.busiest, outer.busy)
                status, headers, text = answer(body, number)
                with outer._lock:
                    outer.busy -= 1
                self.send_response(status)
                for name, value in {"content-type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(text.encode())))
                with suppress(ConnectionError):  # the client gave up
                    self.end_headers()
                    self.wfile.write(text.encode())

        super().__init__(Handler)


@contextmanager
def in_process(module: str, *arguments: str) -> Iterator[str]:
    """A server module of the tests in a process of its own; its address."""
    server = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with server:
        assert server.stdin
        assert server.stdout
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def wait_until_healthy(
    server: "subprocess.Popen[bytes]", address: str, limit_seconds: float
) -> None:
    """Wait until a server answers, and fail when it has ended or takes too long."""
    deadline = time.monotonic() + limit_seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.3)
    raise AssertionError(f"{server.args} did not come up")


def account(url: str) -> dict[str, Any]:
    """What a server of `remote_server` says that it did."""
    with urllib.request.urlopen(f"{url}/account", timeout=10) as reply:
        return json.loads(reply.read())
