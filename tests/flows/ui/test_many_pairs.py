"""A million pairs behind the page: each answer is a page of rows, never all of them."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from rlhf_core.store import Store
from tests.flows.ui.conftest import page_of

PAIRS = 1_000_000
PROVENANCE = (
    "TIMESTAMPTZ '2026-01-01' + to_seconds(i // 64) AS created_at, "
    "'run' || (i // 100000) AS run_id, 'v' AS code_version"
)
TABLES = {
    "prompts": (
        PAIRS // 10,
        "md5('p' || i) AS id, 'What about number ' || i || '?' AS text, "
        "CASE i % 2 WHEN 0 THEN 'creative' ELSE 'knowledge_seeking' END AS mode, "
        "[] AS reference_answers, CASE i % 10 WHEN 0 THEN 'holdout' ELSE 'train' END AS split",
    ),
    "candidates": (
        2 * PAIRS,
        "md5('c' || i) AS id, md5('p' || i // 20) AS prompt_id, 'sft-x' AS model_id, "
        "'s' AS sampling, 1.0 AS temperature, 8 AS max_new_tokens, 1 AS seed, "
        "i % 20 AS sample_index, "
        "'Answer ' || i || repeat(' word', (hash(i) % 40)::INTEGER) AS text, 'eos' "
        "AS finish_reason, 3 AS prompt_tokens, 9 AS completion_tokens, "
        "0 AS latency_seconds, 0 AS cost_usd",
    ),
    "judgements": (
        2 * PAIRS,
        "md5('j' || i) AS id, md5('p' || i // 20) AS prompt_id, 'rubric' AS judge, "
        "'rubric-' || i % 3 AS judge_version, md5('c' || i) AS candidate_id, "
        "'alone' AS presented, 'scored' AS outcome, (hash(i) % 1000) / 1000 AS score, "
        "0 AS latency_seconds, 1 AS prompt_tokens, 1 AS completion_tokens, 0 AS cost_usd, "
        "'' AS attempt",
    ),
    "pairs": (
        PAIRS,
        "md5('q' || i) AS id, md5('p' || i // 10) AS prompt_id, md5('r' || i // 10) AS ranking_id, "
        "md5('c' || 2 * i) AS left_id, md5('c' || 2 * i + 1) AS right_id, "
        "'preferred' AS outcome, md5('c' || 2 * i) AS chosen_id, "
        "md5('c' || 2 * i + 1) AS rejected_id, (hash(i) % 1000) / 1000 AS margin, "
        "1.0 AS agreement, [md5('j' || 2 * i)] AS judgement_ids, "
        "['rubric-' || i % 3] AS judge_versions, 'c' AS config_hash",
    ),
}


def million(path: Path) -> Store:
    store = Store(path)
    with duckdb.connect(str(path), config={"storage_compatibility_version": "v1.4.0"}) as made:
        for table, (rows, columns) in TABLES.items():
            made.execute(
                f"INSERT INTO {table} BY NAME SELECT {columns}, {PROVENANCE} "
                f"FROM range({rows}) AS numbers(i)"
            )
    store.publish()
    return store


@pytest.mark.slow
def test_a_million_pairs_are_browsed_a_page_at_a_time(
    visit: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Seconds are printed (-rP or -s) and not asserted: clocks of shared machines say little."""
    store = million(tmp_path / "solon.duckdb")
    seconds: dict[str, float] = {}

    def timed(name: str, act: Callable[[], Any], text: str) -> None:
        started = time.monotonic()
        act()
        page.get_by_text(text).first.wait_for()
        seconds[name] = time.monotonic() - started

    with page_of(store.files.database) as address:
        page, seen = visit(address)
        page.get_by_text("Newest runs").wait_for()
        timed("first page", lambda: page.goto(f"{address}pairs"), "of more than 10,000")
        assert page.locator(".pair-rows tbody tr").count() == 50
        button = page.get_by_role("button", name="next")
        timed("next page", button.click, "pairs 51 to 100 of more than 10,000")
        search = page.get_by_label("text contains")
        timed("by text", lambda: search.fill("number 4321?"), "pairs 1 to 10 of 10")
        timed("a pair", page.locator("a.opens").first.click, "rubric-")
        filtered = f"{address}pairs?mode=creative&split=holdout&margin_low=0.5"
        timed("by mode, split, margin", lambda: page.goto(filtered), "of more than 10,000")
        order = f"{address}pairs?order=smallest+margin+first&judge_version=rubric-1"
        timed("by judge and margin", lambda: page.goto(order), "of more than 10,000")
        assert seen.nothing()
    with capsys.disabled():
        print("", *(f"{name}: {taken:.2f} s" for name, taken in seconds.items()), sep="\n")
