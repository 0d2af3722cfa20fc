"""The pages of a cycle and of its line: what they show, and that they ask nobody."""

import re
from html import unescape

import pytest

from flows.cycle.cycle import Cycle
from flows.reports.cycle_page import write_report
from flows.reports.line_page import line_page_path
from rlhf_core.config import Config
from rlhf_core.records import Outcome, Promotion, RolloutRecord, RolloutVerdict
from rlhf_core.store import Store
from tests.conftest import ROOT
from tests.flows.test_pipeline import copied

__all__ = ["copied"]

pytestmark = pytest.mark.usefixtures("server")


def test_every_figure_of_an_evaluation_is_defined_and_on_the_page(finished: Config):
    store = Store(finished.store)
    page = Cycle(config=finished, number=1, run_id="").report_path.read_text()
    rows = store.query(
        "SELECT metric, facet, value FROM evaluation_figures JOIN evaluations "
        "ON evaluations.id = evaluation_id WHERE role = 'decides' OR facet = ''"
    )
    metrics = {row["metric"] for row in rows}
    assert {"length_controlled_win_rate", "win_rate_by_mode"} <= metrics
    defined = (ROOT / "deploy/docs/metrics.md").read_text()
    assert [metric for metric in metrics if f"`{metric}`" not in defined] == []
    shown = [row for row in rows if row["metric"] != "length_effect"]
    assert [row for row in shown if f"{100 * row['value']:.1f} %" not in page] == []
    assert "knowledge seeking" in page


def test_the_report_stands_alone_and_shows_what_the_store_holds(finished: Config):
    page = Cycle(config=finished, number=1, run_id="").report_path.read_text()
    assert re.findall(r'(?:src|href)="(?!#)([^"]*)', page) == ["index.html"]
    assert page.count("<svg") >= 5
    for words in ("Win rate", "KL from SFT", "Judge agreement", "What it cost", finished.name):
        assert words in page
    assert page.count('class="sample"') == 6


def test_the_page_of_a_line_has_all_its_cycles_and_asks_nobody(finished: Config):
    page = line_page_path(finished).read_text()
    assert re.findall(r'(?:src|href)="(?!#)([^"]*)', page) == ["cycle-1.html"]
    assert page.count("<svg") >= 4
    (sql,) = set(re.findall(r"SELECT \* FROM cycle_figures[^<]*", page))
    (row,) = Store(finished.store).query(unescape(sql))
    (promotion,) = Store(finished.store).rows(Promotion)
    assert (row["policy_id"], row["promoted"]) == (promotion.policy_id, promotion.promoted)
    assert row["win_rate_bound"] == promotion.win_rate_bound
    assert f"{row['win_rate']:.1%}".replace("%", " %") in page


def test_what_a_model_wrote_is_text_on_the_page(copied: Config):
    store = Store(copied.store)
    attack = "<script>alert(1)</script>"
    store.query(f"UPDATE candidates SET text = '{attack}'")
    page = write_report(store, Cycle(config=copied, number=1, run_id="")).read_text()
    assert attack not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_costs_of_a_cycle_have_those_of_judges_in_training(copied: Config):
    """The guard's judge, and one in the reward: each in a row of its own, and in the sum."""
    store = Store(copied.store)
    (rollout, *_) = store.rows(RolloutRecord)
    (run,) = store.query("SELECT DISTINCT run_id FROM cycle_runs")
    priced = Store(copied.store, run_id=run["run_id"])
    for judge, role, cost in (("paid", "guard", 2.5), ("paying", "reward", 1.25)):
        verdict = RolloutVerdict(
            model_id=rollout.model_id,
            rollout_id=rollout.id,
            judge=judge,
            judge_version=judge,
            role=role,
            outcome=Outcome.SCORED,
            score=1.0,
            cost_usd=cost,
        )
        assert priced.append([verdict]) == 1
    page = write_report(store, Cycle(config=copied, number=1, run_id="")).read_text()
    assert "<b>3.75 $</b>" in page
    for shown in ("judge paid, for the guard", "judge paying, in the reward"):
        assert shown in page
