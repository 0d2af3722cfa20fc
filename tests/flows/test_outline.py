"""What the page of a cycle says first: risks, changes, and queries to run again."""

import duckdb
import pytest

from flows.reports.outline import Change, changed_settings, risks
from flows.reports.pages import query_text
from rlhf_core.records import Evaluation


def evaluation(judge: str = "decides", **facts: float) -> Evaluation:
    """An evaluation that wins 60 % and about which nothing is strange."""
    usual = {
        "prompts": 50, "comparisons": 100, "unscored": 0, "win_rate": 0.6, "win_rate_low": 0.52,
        "win_rate_high": 0.68, "policy_score": 0.5, "baseline_score": 0.4, "policy_tokens": 20.0,
        "baseline_tokens": 20.0, "policy_eos_rate": 1.0, "kl": 2.0,
    }  # fmt: skip
    return Evaluation.model_validate(
        {
            **{"policy_id": "p", "baseline_id": "b", "role": "decides", "settings": "s"},
            **{"judge": judge, "judge_version": judge},
            **usual,
            **facts,
        }
    )


def test_a_win_about_which_nothing_is_strange_has_no_risk():
    assert risks(evaluation(), [evaluation("similarity")], 0, 0.6) == []


@pytest.mark.parametrize(
    ("deciding", "alarms", "said"),
    [
        (evaluation(), 1, "raised 1 alarm"),
        (evaluation(), 2, "raised 2 alarms"),
        (evaluation(policy_tokens=30.0), 0, "answers are 50% longer; at equal length the win rate"),
        (evaluation(policy_tokens=10.0), 0, "answers are 50% shorter"),
        (evaluation(unscored=3), 0, "decides had no opinion on 3 of 100 comparisons"),
        (evaluation(win_rate=0.5), 0, "similarity, which it was trained on, is sure"),
    ],
)
def test_what_speaks_against_a_win_rate_is_said(deciding: Evaluation, alarms: int, said: str):
    (risk,) = risks(deciding, [evaluation("similarity")], alarms, 0.55)
    assert said in risk


def test_answers_a_quarter_longer_are_not_mentioned():
    assert risks(evaluation(policy_tokens=25.0), [], 0, None) == []


def test_changed_settings_are_those_that_differ_with_their_paths():
    before = {"seed": 1, "training": {"steps": 12, "kl": {"coefficient": 0.05}}, "judges": [1, 2]}
    after = {"seed": 1, "training": {"steps": 32, "kl": {"coefficient": 0.05}}, "judges": [1]}
    assert changed_settings(before, after) == [
        Change("judges", [1, 2], [1]),
        Change("training.steps", 12, 32),
    ]
    assert changed_settings({}, {"guard": {"action": "stop"}}) == [
        Change("guard.action", None, "stop")
    ]
    assert changed_settings(after, after) == []


def test_a_query_has_its_parameters_written_out():
    text = query_text("SELECT ? AS line, ? AS cycle", ["it's ? mine", 3])
    assert text == "SELECT 'it''s ? mine' AS line, 3 AS cycle"
    assert duckdb.sql(text).fetchall() == [("it's ? mine", 3)]
