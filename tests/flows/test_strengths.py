"""`solon champion --all`: every policy of a line on one scale, from comparisons written by hand."""

import json
import math
from pathlib import Path

import pytest

from flows.champion.strengths import describe_strengths
from rlhf_core.config import Config
from rlhf_core.records import (
    CycleRun,
    EvaluationResult,
    ModelKind,
    ModelVersion,
    Promotion,
)
from rlhf_core.store import Store
from tests.facts import candidate, prompt
from tests.flows.conftest import smoke
from tests.flows.line_facts import evaluation
from tests.flows.test_cli import call

LINE, JUDGE = "line", "decides-1"
SFT = ModelVersion(kind=ModelKind.SFT, base="tiny", recipe="{}", config_hash="c")
POLICIES = [
    ModelVersion(
        kind=ModelKind.POLICY, base="tiny", recipe=str(number), parent_id=SFT.id, config_hash="c"
    )
    for number in range(1, 4)
]
FIRST, SECOND, THIRD = (each.id for each in POLICIES)
PROMPTS = [prompt(f"Held out {number}") for number in range(40)]


def decide(
    store: Store, cycle: int, policy: str, baseline: str, wins: int, judge: str = JUDGE
) -> None:
    """Decide on a policy that wins the first prompts and loses the others."""
    judged = evaluation(policy, baseline, "decides", judge, "decides")
    rows = []
    for number, asked in enumerate(PROMPTS):
        ours, theirs = (
            candidate("a", prompt_id=asked.id, model_id=id) for id in (policy, baseline)
        )
        result = EvaluationResult(
            evaluation_id=judged.id,
            prompt_id=asked.id,
            sample=0,
            policy_candidate_id=ours.id,
            baseline_candidate_id=theirs.id,
            margin=0.4 if number < wins else -0.4,
        )
        rows += [ours, theirs, result]
    decision = Promotion(
        line=LINE,
        config_hash="c",
        cycle=cycle,
        policy_id=policy,
        baseline_id=baseline,
        evaluation_id=judged.id,
        promoted=cycle == 1,
        reasons=("by hand",),
    )
    store.append([judged, decision, *rows])


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Config of a line without decisions."""
    config = smoke(tmp_path, f"name={LINE}")
    begun = CycleRun(line=LINE, cycle=1, config_hash="c", source="", attempt="a")
    Store(config.store).append([SFT, *POLICIES, *PROMPTS, begun])
    return config


@pytest.fixture
def store(config: Config) -> Store:
    """Three decisions: 30 of 40 against SFT; then 20 and 30 of 40 against the first policy."""
    store = Store(config.store)
    decide(store, 1, FIRST, SFT.id, 30)
    decide(store, 2, SECOND, FIRST, 20)
    decide(store, 3, THIRD, FIRST, 30)
    return store


def test_all_policies_are_on_one_scale(store: Store):
    """The first is ln 3 above SFT, the second no better, and the third ln 3 better still."""
    told = describe_strengths(store, LINE, 0.95)
    found = {row["model_id"]: row for row in told["models"]}
    assert found[FIRST]["strength"] == pytest.approx(math.log(3), abs=0.02)
    assert found[SECOND]["strength"] == pytest.approx(math.log(3), abs=0.02)
    assert found[THIRD]["strength"] == pytest.approx(math.log(9), abs=0.04)
    assert {row["anchor_id"] for row in told["models"]} == {SFT.id}
    assert told["models"][0]["model_id"] == THIRD
    assert {id: row["cycle"] for id, row in found.items()} == {
        FIRST: 1, SECOND: 2, THIRD: 3, SFT.id: None,
    }  # fmt: skip
    assert [id for id, row in found.items() if row["is_champion"]] == [FIRST]


def test_policies_with_one_baseline_are_compared_prompt_by_prompt(store: Store):
    """The third wins the prompts that the second wins, and 10 of 40 more: p = 2 / 2^10."""
    (row,) = describe_strengths(store, LINE, 0.95)["differences"]
    assert (row["policy_id"], row["earlier_id"], row["baseline_id"]) == (THIRD, SECOND, FIRST)
    assert (row["prompts"], row["difference"]) == (40, pytest.approx(0.25))
    assert row["p"] == pytest.approx(2 / 2**10, abs=5e-4)


def test_the_view_counts_wins_ties_and_losses(store: Store):
    rows = store.query("SELECT * FROM model_comparisons ORDER BY cycle")
    counts = [(row["wins"], row["ties"], row["losses"], row["unscored"]) for row in rows]
    assert counts == [(30, 0, 10, 0), (20, 0, 20, 0), (30, 0, 10, 0)]
    assert [row["prompts"] for row in rows] == [40, 40, 40]


def test_another_judges_decisions_are_left_out(store: Store):
    decide(store, 4, SECOND, SFT.id, 40, judge="decides-2")
    told = describe_strengths(store, LINE, 0.95)
    assert (told["judge_version"], told["left_out"]) == ("decides-2", 3)
    assert {row["model_id"] for row in told["models"]} == {SECOND, SFT.id}


def test_the_command_prints_and_tells(
    config: Config,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    path = tmp_path / "line.yaml"
    path.write_text(config.model_dump_json(exclude_defaults=True))
    assert call(monkeypatch, "champion", str(path), "--all", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == describe_strengths(store, LINE, config.promotion.confidence)
    assert call(monkeypatch, "champion", str(path), "--all") == 0
    printed = capsys.readouterr().out
    for words in (JUDGE, "+1.1", "75.0%", "+25.0%"):
        assert words in printed
    assert "never compared" not in printed


def test_a_line_without_comparisons_says_so(
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    path = tmp_path / "line.yaml"
    path.write_text(config.model_dump_json(exclude_defaults=True))
    assert call(monkeypatch, "champion", str(path), "--all") == 0
    assert "no comparison of its models is stored" in capsys.readouterr().out
    assert describe_strengths(Store(config.store), LINE, 0.95)["differences"] == []
