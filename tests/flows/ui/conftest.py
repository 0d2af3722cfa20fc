"""The page as a process of its own, and a headless Chromium that looks at it.

Browsers last as long as a module: Playwright keeps an event loop running while one is open, which
other tests would trip over.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rlhf_core.store import Store
from tests.conftest import ROOT
from tests.flows.ui.filled import fill
from tests.flows.ui.hostile import fill_hostile

START_TIMEOUT_SECONDS = 90
SYSTEM_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def page_of(
    store: Path,
    *options: str,
    environment: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Iterator[str]:
    """`solon ui` over a store; yields the address it prints."""
    served_at = port or free_port()
    command = [sys.executable, "-m", "flows.cli", "ui", "--no-open", f"--port={served_at}"]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SOLON_", "PYTEST_"))}
    server = subprocess.Popen(
        [*command, f"--set=store={store}", *options],
        cwd=ROOT,
        env={**kept, "OMP_NUM_THREADS": "1", **(environment or {})},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    try:
        said = server.stderr.readline()
        assert " is shown at " in said, said + server.stderr.read()
        _wait_for(served_at)
        yield said.strip().rpartition(" ")[2]
    finally:
        server.terminate()
        server.wait(20)
        server.stderr.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    until = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing serves on {port}")


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """61 harmless pairs and a hostile one."""
    path = tmp_path_factory.mktemp("page") / "solon.duckdb"
    fill(path, pairs=60)
    return fill_hostile(path)


@pytest.fixture(scope="session")
def address(shown: Store) -> Iterator[str]:
    with page_of(shown.files.database) as found:
        yield found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as driver:
        bundled = Path(driver.chromium.executable_path)
        found = str(bundled) if bundled.exists() else _system_browser()
        if found is None:
            pytest.skip("no Chromium: `playwright install chromium`, or the package chromium")
        # Chromium refuses its sandbox to root, as whom containers run.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=found, args=options)
        yield browser
        browser.close()


def _system_browser() -> str | None:
    return next((path for name in SYSTEM_BROWSERS if (path := shutil.which(name))), None)


class Seen:
    """What a page did that it must not: dialogs, errors, requests to elsewhere."""

    def __init__(self, page: Any) -> None:
        self.dialogs: list[str] = []
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        page.on("dialog", self._dialog)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._request)
        page.on("websocket", self._request)

    def _dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def _request(self, request: Any) -> None:
        local = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")
        if not request.url.startswith(local):
            self.elsewhere.append(request.url)

    def nothing(self) -> bool:
        assert (self.dialogs, self.errors, self.elsewhere) == ([], [], [])
        return True


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., tuple[Any, Seen]]]:
    """Opens an address in a browser profile of its own; gives the page and what it did."""
    contexts = []

    def opened(address: str, **options: Any) -> tuple[Any, Seen]:
        context = chromium.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        seen = Seen(page)
        page.goto(address)
        return page, seen

    yield opened
    for context in contexts:
        context.close()
