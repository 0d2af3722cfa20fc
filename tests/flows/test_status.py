"""`solon status`: what the store tells of a line, with and without a server."""

import io
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from flows.pipeline import STAGES as PIPELINE
from flows.reports import status as gathered
from flows.reports.status import AutomationState, RunState, ServerStatus, line_status
from flows.reports.status_screen import print_status
from flows.service.prefect_server import server_in_use
from rlhf_core.config import Config, load_config
from rlhf_core.records import CycleRun, EvaluationResult, Promotion, Split
from rlhf_core.store import Store
from tests.facts import prompt
from tests.flows.conftest import SMOKE
from tests.flows.line_facts import Line
from tests.flows.test_cli import call
from tests.flows.test_failing import response

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config with triggers and a budget."""
    tree = yaml.safe_load(Path(SMOKE).read_text())
    tree |= {"name": "support", "store": str(tmp_path / "solon.duckdb")}
    tree |= {"artifacts": str(tmp_path / "artifacts"), "budget": {"max_usd": 5}}
    tree |= {"service": {"triggers": {"new_pairs": 5}}}
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("SOLON_CACHE", str(tmp_path / "cache"))


def begin(config: Config) -> Line:
    """Begin a line with two learnt pairs, three new ones, and a policy refused on 3 prompts."""
    line = Line(config)
    line.reward_model(line.feedback("a", "b"))
    line.feedback("c", "d", "e")
    refused = Promotion(
        line=config.name,
        config_hash="c",
        cycle=1,
        policy_id="policy-1",
        baseline_id="sft-1",
        evaluation_id="e",
        promoted=False,
        reasons=("wins 51.0% of the comparisons; decision 1 on these prompts: at least 44.0%",),
        error_rate=0.025,
    )
    asked = [prompt(f"Held out {number}?", split=Split.HOLDOUT) for number in range(3)]
    results = [
        EvaluationResult(
            evaluation_id="e",
            prompt_id=each.id,
            sample=0,
            policy_candidate_id="ours",
            baseline_candidate_id="theirs",
            margin=0.0,
        )
        for each in asked
    ]
    line.store.append([refused, *asked, *results])
    return line


def shown(config: Path, server: ServerStatus | None) -> str:
    to = Console(file=io.StringIO(), width=100, markup=False, emoji=False)
    print_status(line_status(load_config(config, []), config), server, to, NOW)
    assert isinstance(to.file, io.StringIO)
    lines = to.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    return "\n".join(line.rstrip() for line in lines)


def test_the_stages_are_those_of_the_pipeline():
    assert tuple(stage.name for stage in PIPELINE) == gathered.STAGES


def test_a_line_without_a_store_has_not_begun(config: Path):
    assert "cycle        none has begun; there is no store" in shown(config, None)


def test_the_store_tells_conditions_decision_and_budget(config: Path):
    begin(load_config(config, []))
    text = shown(config, None)
    for told in (
        "champion     none; the SFT model is used",
        "refused; wins 51.0%",
        "triggers     3 of 5 new pairs",
        "budget       $5.00 of $5.00 left by the last run",
        "server       none is asked: set PREFECT_API_URL",
    ):
        assert told in text, text


def test_the_budget_of_a_day_is_that_of_all_its_runs(config: Path):
    tree = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(tree | {"budget": {"max_usd": 5, "period": "day"}}))
    line = begin(load_config(config, []))
    line.store.append([response("a", 1.5)])
    later = CycleRun(line="support", cycle=1, config_hash="c", source="", attempt="later")
    Store(line.config.store, "later").append([later, response("b", 1.0)])
    assert "budget       $2.50 of $5.00 left today (UTC)" in shown(config, None)


def test_the_store_tells_how_worn_the_held_out_prompts_are(config: Path):
    """Three prompts show nothing, worn or fresh: 1/2^3 is 12.5 %."""
    begin(load_config(config, []))
    text = " ".join(shown(config, None).split())
    assert "held out 1 decision on these 3 held-out prompts may have promoted" in text
    assert "at most 2.50%; 2.50% is left; the next decision, with 99.2% confidence, can" in text
    assert "show nothing, and so can as many fresh prompts" in text


def test_the_server_tells_runs_firings_and_automations(config: Path):
    begin(load_config(config, []))
    server = ServerStatus(
        "http://127.0.0.1:4200/api",
        running=(RunState("reward-model", "Running", NOW - timedelta(minutes=3), ""),),
        waiting=(RunState("policy", "AwaitingConcurrencySlot", NOW - timedelta(hours=3), ""),),
        failed=(RunState("feedback", "Crashed", NOW - timedelta(days=2), "no \x1b[31mheartbeat"),),
        upcoming=(RunState("feedback", "Scheduled", NOW + timedelta(minutes=20), ""),),
        automations=(AutomationState("solon support: policy after reward-model", False),),
    )
    text = shown(config, server)
    for told in (
        "server       http://127.0.0.1:4200\n",
        "running      reward-model for 3 min\n",
        "waiting      policy for 3 h: AwaitingConcurrencySlot\n",
        "failed       feedback 2 days ago, Crashed: no ",
        "(in 20 min)",
        "automation   policy after reward-model (paused)",
    ):
        assert told in text, text
    assert "\x1b[31mheart" not in text


def test_the_command_prints_json(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    begin(load_config(config, []))
    assert call(monkeypatch, "status", str(config), "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["line"] == "support"
    assert told["triggers"][0]["text"] == "3 of 5 new pairs"
    assert told["server"] is None


def test_without_configs_there_must_be_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "status") == 2
    assert "name a config, as in `solon status my.yaml`" in capsys.readouterr().err


def test_a_server_that_does_not_answer_is_named(config: Path):
    text = shown(config, ServerStatus("http://127.0.0.1:9/api", "ConnectError: refused"))
    assert "server       http://127.0.0.1:9/api does not answer: ConnectError: refused" in text


def test_a_note_of_a_server_that_was_killed_is_removed(tmp_path: Path):
    note = tmp_path / "cache" / "servers" / "9"
    note.parent.mkdir(parents=True)
    note.write_text("http://127.0.0.1:9/api")
    assert server_in_use() is None
    assert note.exists()  # it may be starting
    os.utime(note, (0, 0))
    assert server_in_use() is None
    assert not note.exists()
