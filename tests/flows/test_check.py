"""`solon check`: what it prints, and the exit code that continuous integration goes by."""

import json
from pathlib import Path

import pytest

from rlhf_core.records import Record
from rlhf_core.store import Store
from tests.facts import candidate, prompt
from tests.flows.test_cli import call

SOUND = [prompt(), candidate("fine")]
WORTHLESS = candidate("...", 1)
LOST = candidate("lost", 2, prompt_id="nowhere")


@pytest.mark.parametrize(
    ("facts", "options", "code"),
    [
        (SOUND, ["--strict"], 0),
        ([*SOUND, WORTHLESS], [], 0),
        ([*SOUND, WORTHLESS], ["--strict"], 1),
        ([*SOUND, LOST], [], 1),
    ],
)
def test_errors_fail_and_warnings_do_where_one_is_strict(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    facts: list[Record],
    options: list[str],
    code: int,
):
    path = tmp_path / "solon.duckdb"
    Store(path).append(facts)
    arguments = ["check", "--json", "--set", f"store={path}", *options]
    assert call(monkeypatch, *arguments) == code
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert checks["empty_candidates"]["found"] == facts.count(WORTHLESS)
    assert checks["orphans"]["found"] == facts.count(LOST)
    if LOST in facts:
        assert checks["orphans"]["examples"] == [
            {"what": "candidates", "id": LOST.id, "detail": "prompt_id nowhere"}
        ]


def test_the_table_shows_what_was_found_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    """An answer that would steer the terminal is shown, and steers nothing."""
    path = tmp_path / "solon.duckdb"
    Store(path).append([*SOUND, candidate("\x1b]!", 1)])
    assert call(monkeypatch, "check", "--set", f"store={path}") == 0
    shown = capsys.readouterr().out
    assert "\x1b]" not in shown
    found, passed = shown.rsplit("checks found nothing:", 1)
    assert "empty_candidates" in found
    assert "empty_candidates" not in passed
    assert "orphans" in passed
    assert "orphans" not in found


def test_no_store_is_said_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    assert call(monkeypatch, "check", "--set", f"store={tmp_path / 'none.duckdb'}") == 1
    assert "no store at" in capsys.readouterr().err
