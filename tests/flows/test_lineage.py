"""`solon lineage` over what a real cycle left."""

import io
import json
import shutil
from pathlib import Path

import pytest

from rlhf_core.config import Config
from rlhf_core.store import Store
from tests.flows.conftest import SMOKE, smoke
from tests.flows.test_cli import call

pytestmark = pytest.mark.usefixtures("server")


def asked(config: Config, *arguments: str) -> list[str]:
    return [*arguments, "--config", SMOKE, "--set", f"store={config.store}"]


def every(branches: list[dict]) -> list[dict]:
    return [one for branch in branches for one in (branch, *every(branch["branches"]))]


def test_a_policy_leads_back_to_every_row_of_its_cycle(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], finished: Config
):
    store = Store(finished.store)
    (policy,) = store.query("SELECT id FROM models WHERE kind = 'policy'")
    arguments = ["lineage", policy["id"], "--json", "--direction", "up"]
    assert call(monkeypatch, *asked(finished, *arguments)) == 0
    found = json.loads(capsys.readouterr().out)
    assert "down" not in found
    counts = store.counts()
    branches = every(found["up"])
    assert sum(b["count"] for b in branches if b["table"] == "pairs") == counts["pairs"]
    (together,) = [b for b in found["up"] if b["relation"] == "all behind it"]
    assert together["count"] == counts["rankings"]
    models = {b["ids"][0] for b in branches if b["table"] == "models"}
    assert len(models | {policy["id"]}) == counts["models"]
    judged = {b["note"] for b in branches if b["table"] == "judgements"}
    assert len(judged) == 1  # brevity has no weight
    assert next(iter(judged)).startswith("similarity-")


def test_a_prompt_leads_to_every_model_but_the_base(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], finished: Config
):
    store = Store(finished.store)
    sql = "SELECT id FROM prompts WHERE split = 'train' AND len(reference_answers) > 0 LIMIT 1"
    (prompt,) = store.query(sql)
    assert call(monkeypatch, *asked(finished, "lineage", prompt["id"][:10])) == 0
    printed = capsys.readouterr().out
    assert f"{prompt['id']} (prompt) came from" in printed
    for row in store.query("SELECT id FROM models"):
        assert (row["id"] in printed) == (not row["id"].startswith("base-"))


def test_an_unknown_id_is_wrong_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], finished: Config
):
    assert call(monkeypatch, *asked(finished, "lineage", "nowhere")) == 2
    assert "no id begins with 'nowhere'; looked among " in capsys.readouterr().err


def test_retracting_asks_first_and_shows_in_the_lineage_of_models(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    finished: Config,
    tmp_path: Path,
):
    shutil.copytree(finished.store.parent, tmp_path / "copy")
    config = smoke(tmp_path / "copy")
    store = Store(config.store)
    (ranking,) = store.query("SELECT judgement_ids[1] AS judgement FROM rankings LIMIT 1")
    arguments = ["retract", ranking["judgement"], "--reason", "broken"]
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert call(monkeypatch, *asked(config, *arguments)) == 1
    assert f"on {ranking['judgement']} rest" in capsys.readouterr().out
    assert store.query("SELECT * FROM retractions") == []
    assert call(monkeypatch, *asked(config, *arguments, "--yes", "--by", "me")) == 0
    rows = store.query("SELECT kind FROM tainted_models ORDER BY kind")
    assert [row["kind"] for row in rows] == ["policy", "reward"]
    capsys.readouterr()
    assert call(monkeypatch, *asked(config, "lineage", "policy-")) == 0
    assert "1 rows on retracted facts" in capsys.readouterr().out
