"""The page in a real browser, over a store filled with facts: browse, ask, label."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.terminal.screen import safe_text as shown_text
from rlhf_core.records import HumanVerdict, SpotCheck
from rlhf_core.store import Store
from tests.flows.ui.conftest import page_of
from tests.flows.ui.filled import CHOSEN, DIALOGUE, JUDGE, POLICY, RAINBOW, RATIONALE, REWARD, SFT


def test_a_pair_is_filtered_out_of_many_and_opened_with_its_votes(
    address: str, visit: Callable[..., Any]
):
    """62 pairs are two pages; the words of an answer find the one."""
    page, seen = visit(f"{address}pairs")
    page.get_by_text("pairs 1 to 50 of 62").wait_for()
    page.get_by_role("button", name="next").click()
    page.get_by_text("pairs 51 to 62 of 62").wait_for()
    page.get_by_label("text contains").fill("bend RED light less")
    page.get_by_text("pairs 1 to 1 of 1").wait_for()
    assert "text=bend+RED+light+less" in page.url
    page.get_by_role("link", name=RAINBOW).click()
    page.get_by_text(RATIONALE).first.wait_for()
    assert page.locator(".answer.chosen mark").all_inner_texts() == ["less", "blue"]
    assert page.locator(".answer.chosen pre").inner_text() == CHOSEN
    votes = page.locator(".vote .facts").all_inner_texts()
    assert len(votes) == 2
    for vote in votes:
        assert JUDGE in vote
        assert "prefers chosen" in vote
    page.get_by_role("link", name=REWARD.id).click()
    page.get_by_role("heading", name=f"Model {REWARD.id}").wait_for()
    page.get_by_role("link", name=POLICY.id).wait_for()
    assert f"{SFT.id} (parent)" in page.locator(".rows").inner_text()
    assert page.locator(".graph canvas").count() == 1
    assert seen.nothing()


def test_a_conversation_is_shown_turn_by_turn(address: str, visit: Callable[..., Any]):
    page, seen = visit(f"{address}pairs?text=What+is+13+plus")
    page.get_by_role("link", name="… What is 13 plus one?").click()
    turns = page.locator(".turn")
    turns.first.wait_for()
    assert turns.locator("h3").all_inner_texts() == [
        "tools that the assistant may call",
        *("system", "user", "assistant", "user"),
    ]
    texts = turns.locator("pre").all_inner_texts()
    assert texts[1:] == [*(one["content"] for one in DIALOGUE), "What is 13 plus one?"]
    page.goto(f"{address}pairs?text={RAINBOW[:20]}")
    page.get_by_role("link", name=RAINBOW).click()
    page.get_by_text(RATIONALE).first.wait_for()
    assert page.locator(".turn").count() == 0
    assert seen.nothing()


def test_sql_answers_in_a_table_a_chart_and_a_file_and_cannot_write(
    address: str, visit: Callable[..., Any], shown: Store
):
    expect = pytest.importorskip("playwright.sync_api").expect
    page, seen = visit(f"{address}sql")
    statement = page.get_by_label("SQL", exact=True)
    statement.fill("SELECT split, count(*) AS prompts FROM prompts GROUP BY split")
    statement.press("Control+Enter")
    page.get_by_role("cell", name="62").wait_for()
    page.get_by_label("chart", exact=True).click()
    page.get_by_role("option", name="bar").click()
    page.locator(".chart canvas").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    assert Path(download.value.path()).read_text().split() == ['"split","prompts"', '"train",62']
    page.get_by_label("named queries").click()
    page.get_by_role("option", name="closest_pairs").click()
    rows = page.get_by_label("$rows")
    expect(rows).to_have_value("20")
    rows.fill("3")
    page.get_by_role("button", name="run").click()
    page.get_by_text("3 rows").wait_for()
    statement.fill("DELETE FROM prompts")
    page.get_by_role("button", name="run").click()
    page.get_by_role("alert").wait_for()
    assert "read" in page.get_by_role("alert").inner_text().lower()
    assert shown.counts()["prompts"] == 62
    assert seen.nothing()


def test_a_person_labels_by_keys_and_sees_no_judge(
    address: str, visit: Callable[..., Any], shown: Store
):
    """What is stored speaks of the pair's own left and right, wherever they were shown."""
    page, seen = visit(f"{address}spot-check")
    page.get_by_role("button", name="start").click()
    page.get_by_text("write your name first").wait_for()
    page.get_by_label("your name").fill("Ada")
    page.get_by_label("your name").press("Enter")
    page.get_by_text("pair 1 of 20").wait_for()
    assert not re.search(f"{JUDGE}|preferred|margin|prob", page.locator("main").inner_text())
    first = page.locator(".answer pre").first.inner_text()
    page.keyboard.press("1")
    page.get_by_text("pair 2 of 20").wait_for()
    page.keyboard.press("u")
    page.get_by_text("pair 3 of 20").wait_for()
    page.keyboard.press("q")
    page.get_by_text("2 verdicts kept").wait_for()
    kept = shown.rows(SpotCheck, "person = 'Ada'")
    assert len(kept) == 2
    assert kept[1].verdict is HumanVerdict.UNSURE
    held_better = {HumanVerdict.LEFT: kept[0].left_id, HumanVerdict.RIGHT: kept[0].right_id}
    (row,) = shown.query("SELECT text FROM candidates WHERE id = ?", [held_better[kept[0].verdict]])
    assert shown_text(row["text"]) == first
    assert seen.nothing()


def test_what_was_retracted_is_marked_on_pair_and_model(
    address: str, visit: Callable[..., Any], shown: Store
):
    (row,) = shown.query(
        "SELECT pairs.id, model_id FROM pairs JOIN model_inputs ON input_id = ranking_id "
        "JOIN retractions ON list_contains(judgement_ids, subject_id)"
    )
    page, seen = visit(f"{address}pairs/{row['id'][:12]}")
    page.get_by_text("Not relied on any more").wait_for()
    assert page.locator(".vote .badge").all_inner_texts() == ["retracted"]
    assert page.locator(".vote").count() == 2
    page.goto(f"{address}models/{row['model_id']}")
    page.get_by_text("retracted: 1 of its own, 0 of the models behind").wait_for()
    assert seen.nothing()


def test_a_link_or_going_back_leads_to_the_page_that_was_left(
    address: str, visit: Callable[..., Any]
):
    """By keys alone; what is copied is the pair's whole id."""
    page, seen = visit(f"{address}pairs?split=train", permissions=["clipboard-read"])
    page.get_by_text("pairs 1 to 50 of 62").wait_for()
    page.keyboard.press("n")
    page.get_by_text("pairs 51 to 62 of 62").wait_for()
    assert "split=train" in page.url
    assert "page=2" in page.url
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="copy id").click()
    page.get_by_text("copied").wait_for()
    assert page.url.endswith("/pairs/" + page.evaluate("navigator.clipboard.readText()"))
    page.go_back()
    page.get_by_text("pairs 51 to 62 of 62").wait_for()
    page.keyboard.press("?")
    page.get_by_text("next, previous pair of the list").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    page.get_by_text("pairs 1 to 50 of 62").wait_for()
    assert seen.nothing()


@pytest.mark.slow  # a server of its own, and seconds of grace
def test_a_query_deaf_to_being_stopped_is_ended_and_the_page_lives(
    visit: Callable[..., Any], shown: Store
):
    with page_of(shown.files.database, "--timeout=0.2") as served:
        page, seen = visit(f"{served}sql")
        statement = page.get_by_label("SQL", exact=True)
        statement.fill("SELECT length(repeat('x' || range, 1000000000)) FROM range(90)")
        statement.press("Control+Enter")
        page.get_by_text("querying the store").wait_for()
        other, _ = visit(f"{served}pairs")
        other.get_by_text("of 62").wait_for()
        page.get_by_text("longer than 0.2 s and its process was ended").wait_for()
        statement.fill("SELECT 6 * 7 AS answer")
        statement.press("Control+Enter")
        page.get_by_role("cell", name="42").wait_for()
        assert "SELECT+6" in page.url
        assert seen.nothing()
