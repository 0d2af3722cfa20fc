"""Every command that writes a file: a symlink is never followed, and a failure leaves nothing."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import main
from rlhf_core.store import Store
from tests.facts import candidate, prompt

ROWS = 300_000


@pytest.fixture
def database(tmp_path: Path) -> Path:
    store = Store(tmp_path / "store" / "solon.duckdb")
    store.append([prompt(), candidate("one", 0), candidate("two", 1)])
    return store.files.database


def arguments(database: Path, query: str, target: Path) -> list[str]:
    return ["sql", query, "--out", str(target), "--set", f"store={database}"]


def sql(database: Path, query: str, target: Path) -> int:
    return CliRunner().invoke(main.app, arguments(database, query, target)).exit_code


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet", "rows.json"])
def test_a_query_writes_through_no_planted_symlink(database: Path, tmp_path: Path, name: str):
    victim = tmp_path / "victim"
    victim.write_text("do not touch")
    (tmp_path / f".{name}.partial").symlink_to(victim)
    assert sql(database, "SELECT 1 AS a", tmp_path / name) == 0
    assert victim.read_text() == "do not touch"
    assert (tmp_path / name).stat().st_size > 0


def test_two_queries_into_one_file_do_not_mix(database: Path, tmp_path: Path):
    """One of them is whole in the end, and the other says that the file is there."""
    target = tmp_path / "rows.csv"
    long = f"SELECT 1111111 AS a FROM range({ROWS})"
    command = [sys.executable, "-m", "flows.cli", *arguments(database, long, target)]
    slow = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob(".solon-*")):
        assert slow.poll() is None
    slow.send_signal(signal.SIGSTOP)
    assert sql(database, "SELECT 2 AS a FROM range(10)", target) == 0
    slow.send_signal(signal.SIGCONT)
    assert slow.wait(60) != 0
    assert target.read_text() == '"a"\n' + "2\n" * 10
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["rows.csv"]


def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"text1": "a", "text2": "b"}) + "\n")
    target = tmp_path / "absent" / "scores"
    arguments = ["judges", "score", "similarity", "--data", str(pairs), "--out", str(target)]
    found = CliRunner().invoke(main.app, [*arguments, "--model", "/there/is/none"])
    assert "cannot be written: No such file or directory" in str(found.exception)
