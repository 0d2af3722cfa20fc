"""One process leads and another follows, as real processes over gloo, against one that is alone."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rlhf_core.config import Config
from rlhf_core.distributed.collective import RankZeroOnly, on_all_ranks
from rlhf_core.store import Store
from tests.conftest import ROOT
from tests.flows import led
from tests.flows.conftest import SMOKE, places, smoke

REWARD_SHIFT = "reference_mean"
"""The K-wise loss does not see a shift of all rewards, so what the head's bias drifts by is
rounding alone; normalising takes it out, and this metric says how much it was."""


def spread(
    module: str, arguments: list[str], environment: Mapping[str, str] = os.environ
) -> "subprocess.CompletedProcess[str]":
    """Two processes of a module under torchrun."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", module, *arguments,
    ]  # fmt: skip
    kept = {**environment, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.run(
        command, cwd=ROOT, env=kept, capture_output=True, text=True, timeout=300, check=False
    )


def test_alone_it_is_the_call_itself():
    assert on_all_ranks(max, [1, 3, 2], key=lambda number: -number) == 1


def test_what_stays_with_the_first_process_arrives_empty():
    assert pickle.loads(pickle.dumps(RankZeroOnly("a ledger"))) == RankZeroOnly(None)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What this process comes to alone."""
    path = tmp_path_factory.mktemp("alone") / "one.safetensors"
    led.save(path, *led.run())
    return path


@pytest.mark.parametrize(
    ("how", "held"),
    [
        pytest.param([], 1.0, id="copies"),
        pytest.param(["shard"], 0.5, id="shards", marks=pytest.mark.slow),
    ],
)
def test_led_and_following_they_come_to_what_one_does_alone(
    one: Path, tmp_path: Path, how: list[str], held: float
):
    """Answers, metrics, weights, scores; the first alone asks the judges."""
    two = tmp_path / "two.safetensors"
    ended = spread("tests.flows.led", [str(two), *how])
    assert ended.returncode == 0, ended.stderr[-3000:]
    alone, both = (json.loads(path.with_suffix(".json").read_text()) for path in (one, two))
    assert (alone["processes"], both["processes"]) == (1, 2)
    assert both["held"] == held * alone["held"]
    assert alone["asked"] == both["asked"] == 2
    assert alone["texts"] == both["texts"]
    torch.testing.assert_close(load_file(two), load_file(one), atol=1e-5, rtol=1e-4)
    for ours, theirs in zip(both["metrics"], alone["metrics"], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4, rel=1e-3)
    assert both["scores"] == pytest.approx(alone["scores"], abs=1e-5)
    assert json.loads((tmp_path / "two.1.json").read_text()) == []  # neither Prefect nor DuckDB


@pytest.mark.slow
@pytest.mark.parametrize(
    ("is_sharded", "weights"),
    [("false", ()), ("true", ()), ("true", ("policy.weights=full", "policy.lora_rank=null"))],
)
def test_a_cycle_of_two_processes_is_that_of_one(
    server: str,
    environment: dict[str, str],
    tmp_path: Path,
    is_sharded: str,
    weights: Sequence[str],
):
    """All facts the same, metrics to 1e-4, weights to 1e-5."""
    from flows.run import run_cycles

    settings = ["compute.precision=fp32", *weights]
    alone, both = (smoke(tmp_path / name, *settings) for name in ("one", "two"))
    run_cycles(alone, 1, is_quiet=True)
    arguments = ["run", SMOKE, "--json", *places(tmp_path / "two")]
    for each in (*settings, f"compute.shard={is_sharded}", f"name={alone.name}"):
        arguments += ["--set", each]
    ended = spread("flows.cli", arguments, {**environment, "PREFECT_API_URL": server})
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert json.loads(ended.stdout)["cycle"] == 1
    for table, columns in {
        "candidates": "id, text",
        "judgements": "id, score",
        "rankings": "id, utilities",
        "rollouts": "id, text",
        "models": "id",
        "stage_runs": "id",
    }.items():
        query = f"SELECT {columns} FROM {table} ORDER BY ALL"
        if table == "judgements":
            query = query.replace("FROM judgements", "FROM judgements WHERE judge <> 'proxy'")
        assert Store(both.store).query(query) == Store(alone.store).query(query), table
    _require_same_metrics(alone, both)
    whole = alone.artifacts / "models"
    for file in whole.rglob("*.safetensors"):
        other = both.artifacts / "models" / file.relative_to(whole)
        torch.testing.assert_close(load_file(other), load_file(file), atol=1e-5, rtol=1e-4)
    assert not list(both.artifacts.rglob(".*"))


def _require_same_metrics(alone: Config, both: Config) -> None:
    query = "SELECT model_id, step, name, value FROM metrics ORDER BY ALL"
    ours, theirs = Store(both.store).query(query), Store(alone.store).query(query)
    assert len(ours) == len(theirs) > 0
    for mine, other in zip(ours, theirs, strict=True):
        assert {**mine, "value": 0} == {**other, "value": 0}
        tolerance = 5e-3 if mine["name"] == REWARD_SHIFT else 1e-4
        assert mine["value"] == pytest.approx(other["value"], abs=tolerance, rel=1e-5), mine["name"]


@pytest.mark.slow
def test_when_a_follower_fails_the_first_ends_too(tmp_path: Path):
    ended = spread("tests.flows.led", [str(tmp_path / "out.safetensors"), "fail"])
    assert ended.returncode == 1
    assert "[rank1]: ZeroDivisionError" in ended.stderr
    assert "forcefully exiting" not in ended.stderr  # torchrun had to wait for nobody
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("error", "solon, process 1: the follower has had enough"),
        ("bug", "[rank1]: ZeroDivisionError"),
        ("kill", "(SIGKILL)"),
    ],
)
def test_when_a_follower_fails_the_run_ends_within_seconds_and_its_reason_is_read(
    server: str, environment: dict[str, str], tmp_path: Path, how: str, message: str
):
    environment = {**environment, "PREFECT_API_URL": server}
    arguments = [how, "run", SMOKE, "--json", *places(tmp_path)]
    ended = spread("tests.flows.follower_fails", arguments, environment)
    assert ended.returncode == 1
    assert message in ended.stderr
    assert "forcefully exiting" not in ended.stderr
    rows = Store(smoke(tmp_path).store).query("SELECT stage FROM stage_runs")
    assert [row["stage"] for row in rows] == ["ingest"]
