"""The queries of the audit page, on hand-made pairs."""

from dataclasses import replace

import pytest

from rlhf_core.records import Mode, Pair, PairOutcome, Split
from rlhf_core.store import Store, reading
from rlhf_core.store.audit import pages as asked
from rlhf_core.store.audit.pages import PairFilter, PairOrder, pair_count, pair_page
from tests.facts import candidate, prompt

MARGINS = (0.5, 0.25, None, 1.0, 0.75)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Five pairs, each on a prompt of its own; every other one is creative and held out."""
    store = Store(tmp_path_factory.mktemp("pages") / "solon.duckdb", run_id="test")
    for number, margin in enumerate(MARGINS):
        is_odd = number % 2 == 1
        on = prompt(
            f"Prompt {number}",
            mode=Mode.CREATIVE if is_odd else Mode.KNOWLEDGE_SEEKING,
            split=Split.HOLDOUT if is_odd else Split.TRAIN,
        )
        one = candidate(f"Left Of {number}", 0, prompt_id=on.id)
        other = candidate(f"right of {number}", 1, prompt_id=on.id)
        pair = Pair(
            prompt_id=on.id,
            ranking_id=f"ranking-{number}",
            left_id=one.id,
            right_id=other.id,
            outcome=PairOutcome.UNSCORED if margin is None else PairOutcome.PREFERRED,
            chosen_id=None if margin is None else other.id,
            rejected_id=None if margin is None else one.id,
            margin=margin,
            judgement_ids=(),
            judge_versions=(f"judge-{number % 2}",),
            config_hash="c",
        )
        store.append([on, one, other, pair])
    return store


def prompts_on_pages(store: Store, wanted: PairFilter, order: PairOrder) -> list[list[str]]:
    pages, after = [], None
    with reading(store.files.database) as snapshot:
        while True:
            page = pair_page(snapshot, wanted, order, after)
            pages.append([row["prompt"] for row in page.rows])
            if page.last is None:
                return pages
            after = page.last


@pytest.mark.parametrize(
    ("order", "expected"),
    [(PairOrder.NEWEST, "4 3 2 1 0"), (PairOrder.CLOSEST, "1 0 4 3 2"),
     (PairOrder.CLEAREST, "3 4 0 1 2")],
)  # fmt: skip
def test_pages_follow_each_other_without_gap_or_repeat(
    filled: Store, order: PairOrder, expected: str, monkeypatch: pytest.MonkeyPatch
):
    """Pairs without a margin come last in both orders by it."""
    monkeypatch.setattr(asked, "PAGE_ROWS", 2)
    pages = prompts_on_pages(filled, PairFilter(), order)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [text for page in pages for text in page] == [f"Prompt {n}" for n in expected.split()]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (PairFilter(mode="creative"), "3 1"),
        (PairFilter(split="train"), "4 2 0"),
        (PairFilter(outcome="unscored"), "2"),
        (PairFilter(judge_version="judge-1"), "3 1"),
        (PairFilter(margin_low=0.5, margin_high=0.75), "4 0"),
        (PairFilter(text="left of 3"), "3"),
        (PairFilter(text="OF 4"), "4"),
        (PairFilter(text="%"), ""),
        (PairFilter(text="' OR true --"), ""),
        (PairFilter(run_id="test", mode="creative", margin_low=0.5), "3"),
        (PairFilter(run_id="another"), ""),
    ],
)
def test_filters_are_met_together(filled: Store, wanted: PairFilter, expected: str):
    (page,) = prompts_on_pages(filled, wanted, PairOrder.NEWEST)
    assert page == [f"Prompt {n}" for n in expected.split()]
    with reading(filled.files.database) as snapshot:
        assert pair_count(snapshot, wanted) == len(expected.split())


def test_counting_stops_where_it_is_told(filled: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(asked, "COUNTED_ROWS", 3)
    with reading(filled.files.database) as snapshot:
        assert pair_count(snapshot, PairFilter()) == 4
        assert pair_count(snapshot, replace(PairFilter(), mode="creative")) == 2
