"""What people and models wrote is shown as text, on every page, in a real browser."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from rlhf_core.records import ModelKind, ModelVersion, Promotion, StageRun
from rlhf_core.store import Store
from tests.facts import prompt
from tests.flows.ui.conftest import page_of
from tests.flows.ui.filled import facts_of

PAYLOADS = (
    "<script>window.pwned=1;alert(1)</script>",
    "<img src=x onerror=\"window.pwned=1;alert(2)\"><b class='pwned'>bold</b>",
    "</textarea></style></title><svg onload=alert(3)>",
    "`${window.pwned=1}`{{constructor.constructor('window.pwned=1')()}}",
    "# heading [link](javascript:alert(4)) ![x](http://elsewhere.example/x.png)",
    'graph TD; A["<img src=x onerror=alert(5)>"] --> B; click A call alert(6)',
    "\x1b]0;title\x07\x1b[31mred\x1b[0m\x00",
    "safe \u202egnitrever\u2066 text\u200b",
    '":onclick": "alert(7)", {a|rich} {b} __proto__ %{x}',
)
HOSTILE = "\n".join(PAYLOADS)
CREATED = (
    "document.querySelectorAll(\"img[src='x'], .pwned, svg[onload], a[href^='javascript'], "
    '[onerror]").length + [...document.scripts].filter(s => /pwned|alert\\(/.test(s.textContent))'
    ".length + (window.pwned ? 1000 : 0)"
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("hostile") / "solon.duckdb", run_id=HOSTILE)
    model = ModelVersion(kind=ModelKind.REWARD, base=HOSTILE, recipe=HOSTILE, config_hash=HOSTILE)
    asked = prompt(HOSTILE, context=HOSTILE, reference_answers=(HOSTILE, HOSTILE))
    facts = facts_of(asked, f"{HOSTILE} one", f"{HOSTILE} two", HOSTILE, (model,), judge=HOSTILE)
    decided = Promotion(
        config_hash=HOSTILE,
        cycle=1,
        policy_id=HOSTILE,
        baseline_id=HOSTILE,
        evaluation_id=HOSTILE,
        promoted=False,
        reasons=(HOSTILE,),
    )
    ended = StageRun(config_hash=HOSTILE, cycle=1, stage=HOSTILE, seconds=1, detail=HOSTILE)
    store.append([model, *facts, decided, ended])
    return store


@pytest.fixture(scope="module")
def address(hostile: Store) -> Iterator[str]:
    with page_of(hostile.files.database) as found:
        yield found


def settled(page: Any) -> str:
    page.wait_for_function(
        "document.querySelector('h1') && !document.body.innerText.includes('asking the store')"
    )
    page.wait_for_timeout(150)
    assert page.evaluate(CREATED) == 0
    text: str = page.locator("body").inner_text()
    for steering in "\x1b\x07\u202e\u2066\u200b":
        assert steering not in text
    return text


def test_hostile_text_is_text_on_every_page(
    address: str, visit: Callable[..., Any], hostile: Store
):
    pair = hostile.query("SELECT id FROM pairs")[0]["id"]
    model = hostile.query("SELECT id FROM models")[0]["id"]
    page, seen = visit(address)
    for path in ("", "pairs", f"pairs/{pair}", f"models/{model}", "models"):
        page.goto(f"{address}{path}")
        assert "<script>window.pwned=1;alert(1)</script>" in settled(page), path
    for path in (f"pairs/{quote(HOSTILE, safe='')}", f"pairs?text={quote(HOSTILE)}&mode=x%3Cb%3E"):
        page.goto(f"{address}{path}")
        settled(page)
    assert seen.nothing()


def test_hostile_text_is_text_in_answers_to_sql_and_in_spot_checks(
    address: str, visit: Callable[..., Any]
):
    page, seen = visit(f"{address}sql")
    name = PAYLOADS[1].replace('"', '""')
    page.get_by_label("SQL", exact=True).fill(
        f'SELECT text AS "{name}", 1 AS ":onclick", [text] AS list FROM candidates'
    )
    page.get_by_role("button", name="run").click()
    page.get_by_text("2 rows").wait_for()
    page.get_by_label("chart", exact=True).click()
    page.get_by_role("option", name="scatter").click()
    page.locator(".chart canvas").hover()
    assert PAYLOADS[0] in settled(page)
    page.goto(f"{address}spot-check")
    page.get_by_label("your name").fill(PAYLOADS[1][:80])
    page.get_by_role("button", name="start").click()
    page.get_by_text("pair 1 of 1").wait_for()
    assert PAYLOADS[0] in settled(page)
    assert seen.nothing()
