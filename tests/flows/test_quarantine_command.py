"""`solon quarantine` lists the prompts that stages leave out, and has one of them tried again."""

from pathlib import Path

import pytest

from rlhf_core.records import Failure, Quarantine
from rlhf_core.store import Store
from rlhf_core.store.quarantine import quarantine, quarantined
from tests.facts import prompt
from tests.flows.test_cli import call


def test_a_prompt_is_listed_until_it_is_lifted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    one, path = prompt(), tmp_path / "solon.duckdb"
    store = Store(path)
    store.append([one])
    store.append(
        Failure(stage="sample", subject_id=one.id, reason="HTTP 400", attempt=run) for run in "abc"
    )
    quarantine(store, "sample", [one.id], 3)
    store.publish()
    arguments = ("quarantine", "--set", f"store={path}")
    assert call(monkeypatch, *arguments) == 0
    assert "HTTP 400" in capsys.readouterr().out
    assert call(monkeypatch, *arguments, "--reason", "server changed") == 2
    assert "belongs to --lift" in capsys.readouterr().err
    assert call(monkeypatch, *arguments, "--lift", one.id[:6], "--reason", "server changed") == 0
    assert f"lifted: {one.id}, in sample" in capsys.readouterr().out
    assert quarantined(store, "sample") == set()
    assert store.rows(Quarantine, "is_lifted")[0].reason == "server changed"
    assert call(monkeypatch, *arguments, "--lift", one.id) == 2
    assert "looked for a prompt that is left out. There are none yet" in capsys.readouterr().err
