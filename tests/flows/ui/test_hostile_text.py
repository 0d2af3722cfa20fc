"""What people and models wrote is shown as text, on every page, in a real browser."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from rlhf_core.store import Store
from tests.flows.ui.conftest import page_of
from tests.flows.ui.hostile import HOSTILE, PAYLOADS, fill_hostile, settled


def test_hostile_text_is_text_on_every_page(address: str, visit: Callable[..., Any], shown: Store):
    where = "WHERE starts_with(run_id, '<script>')"
    pair = shown.query(f"SELECT id FROM pairs {where}")[0]["id"]
    model = shown.query(f"SELECT id FROM models {where}")[0]["id"]
    page, seen = visit(address)
    for path in ("", "pairs", f"pairs/{pair}", f"models/{model}", "models"):
        page.goto(f"{address}{path}")
        assert PAYLOADS[0] in settled(page), path
    in_path = quote((PAYLOADS[1] + PAYLOADS[3]).replace("/", ""))
    for path in (f"pairs/{in_path}", f"pairs?text={quote(HOSTILE)}&mode=x%3Cb%3E"):
        page.goto(f"{address}{path}")
        settled(page)
    page.goto(f"{address}sql")
    name = PAYLOADS[1].replace('"', '""')
    page.get_by_label("SQL", exact=True).fill(
        f'SELECT text AS "{name}", 1 AS ":onclick", 1 AS pair_id, text AS model_id, [text] AS list '
        f"FROM candidates {where}"
    )
    page.get_by_role("button", name="run").click()
    page.get_by_text("2 rows").wait_for()
    page.get_by_label("chart", exact=True).click()
    page.get_by_role("option", name="scatter").click()
    page.locator(".chart canvas").hover()
    assert PAYLOADS[0] in settled(page)
    assert seen.nothing()


@pytest.mark.slow  # a server of its own
def test_spot_checks_of_hostile_text_behind_a_token(
    visit: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
):
    """Off loopback: without the token nothing is shown, with it everything works as before."""
    path = tmp_path_factory.mktemp("hostile") / "solon.duckdb"
    fill_hostile(path)
    with page_of(path, "--host=0.0.0.0") as address:
        base, _, token = address.partition("?token=")
        assert len(token) >= 43  # 32 bytes
        page, _ = visit(base)
        assert "Spot check" not in page.locator("body").inner_text()
        page, seen = visit(address)
        page.get_by_role("link", name="Spot check").click()
        assert token not in page.url
        page.get_by_label("your name").fill(PAYLOADS[1][:80])
        page.get_by_role("button", name="start").click()
        page.get_by_text("pair 1 of 1").wait_for()
        assert PAYLOADS[0] in settled(page)
        page.keyboard.press("2")
        page.get_by_text("1 verdict kept").wait_for()
        page.get_by_role("link", name="Agreement").click()
        page.get_by_text("Where judges and people differ most").wait_for()
        settled(page)
        assert seen.nothing()
