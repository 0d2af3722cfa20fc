"""Two processes on one store at once: of one line, of two lines that share models, one killed."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from rlhf_core.config import Config
from rlhf_core.store import Store
from tests.flows.conftest import SMOKE, places
from tests.flows.processes import start_solon
from tests.flows.test_pipeline import ids

pytestmark = pytest.mark.slow
SECONDS = 400


def ended(process: "subprocess.Popen[str]") -> dict[str, object]:
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    summary: dict[str, object] = json.loads(out)
    return summary


def test_two_runs_of_a_line_do_each_stage_once(
    finished: Config, environment: dict[str, str], tmp_path: Path
):
    arguments = ["run", SMOKE, "--json", *places(tmp_path)]
    # Both start a server, on a database that is not there yet.
    environment = {**environment, "PREFECT_HOME": str(tmp_path / "prefect")}
    runs = [start_solon(arguments, environment) for _ in range(2)]
    summaries = [ended(run) for run in runs]
    assert [summary["cycle"] for summary in summaries] == [1, 1]
    store = Store(tmp_path / "solon.duckdb")
    assert store.query("SELECT * FROM check_duplicate_ids") == []
    config = finished.model_copy(
        update={"store": tmp_path / "solon.duckdb", "artifacts": tmp_path / "artifacts"}
    )
    assert ids(config) == ids(finished)
    sql = "SELECT count(DISTINCT run_id) AS runs FROM candidates GROUP BY model_id, sampling, seed"
    assert {row["runs"] for row in store.query(sql)} == {1}


def test_a_run_goes_on_where_a_killed_one_was(
    finished: Config, environment: dict[str, str], tmp_path: Path
):
    """The second waits for the first, which is killed as soon as it has trained the SFT model."""
    arguments = ["run", SMOKE, "--json", *places(tmp_path)]
    first = start_solon(arguments, environment)
    deadline = time.monotonic() + SECONDS
    while not list((tmp_path / "artifacts" / "models").glob("sft-*")):
        assert first.poll() is None, first.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second = start_solon(arguments, environment)
    time.sleep(3)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    ended(second)
    config = finished.model_copy(
        update={"store": tmp_path / "solon.duckdb", "artifacts": tmp_path / "artifacts"}
    )
    assert ids(config) == ids(finished)


def test_two_lines_share_their_models_and_double_nothing(
    environment: dict[str, str], tmp_path: Path
):
    """Both train the same SFT model, draw the same candidates and train the same policy."""
    runs = []
    for name in ("one", "two"):
        arguments = ["run", SMOKE, "--json", *places(tmp_path), "--set", f"name={name}"]
        runs.append(start_solon(arguments, environment))
    for run in runs:
        ended(run)
    store = Store(tmp_path / "solon.duckdb")
    assert store.query("SELECT * FROM check_duplicate_ids") == []
    assert store.query("SELECT * FROM check_orphans") == []
    kinds = "SELECT kind, count(*) AS n FROM models WHERE kind <> 'base' GROUP BY kind ORDER BY 1"
    assert {row["kind"]: row["n"] for row in store.query(kinds)} == {
        "policy": 1,
        "reward": 1,
        "sft": 1,
    }
    promoted = store.query("SELECT line, promoted FROM promotions ORDER BY line")
    assert [row["line"] for row in promoted] == ["one", "two"]
    assert not list((tmp_path / "artifacts" / "models").glob(".*"))
