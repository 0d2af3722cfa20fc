"""The page that `solon serve` announces, in a real browser."""

import shutil
import signal
from pathlib import Path

import pytest

from tests.flows.serving import Serving
from tests.flows.ui.conftest import SYSTEM_BROWSERS

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
)


@pytest.mark.slow
def test_the_page_that_serve_announces_reaches_its_server(
    environment: dict[str, str], tmp_path: Path
):
    """It looks for the API where it came from, be that through a tunnel."""
    playwright = pytest.importorskip("playwright.sync_api")
    browser = next((path for name in SYSTEM_BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium")
    serving = Serving(tmp_path, {**environment, "PREFECT_HOME": str(tmp_path / "prefect")})
    try:
        with playwright.sync_playwright() as driver:
            opened = driver.chromium.launch(executable_path=browser, args=list(ARGUMENTS))
            page = opened.new_page()
            page.set_default_timeout(120_000)  # milliseconds; a busy machine draws slowly
            asked: list[str] = []
            page.on("requestfinished", lambda request: asked.append(request.url))
            answer = page.goto(serving.address)
            assert answer.headers["content-security-policy"] == "connect-src 'self'"
            page.get_by_text("Flow Runs").first.wait_for()
            assert "Can't connect" not in page.inner_text("body")
            assert [url for url in asked if url.startswith(f"{serving.address}/api/flow_runs")]
            assert [url for url in asked if not url.startswith((serving.address, "data:"))] == []
            page.get_by_role("link", name="Deployments").click()
            page.get_by_text("smoke").first.wait_for()
            opened.close()
    finally:
        said = serving.end(signal.SIGTERM)
    assert serving.process.returncode == 143
    assert "Traceback" not in said
