"""A cycle that is killed with SIGKILL in stage after stage ends as if it had never been killed."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from flows.run import run_cycles
from rlhf_core.config import Config
from rlhf_core.store import Store
from tests.flows.conftest import SMOKE, places, smoke
from tests.flows.processes import killed_solon, solon
from tests.flows.test_pipeline import STAGES, ids

COLUMNS = {
    "metrics": "model_id, step, name, value",
    "rollouts": "id, text, score, kl, parts",
    "models": "id",
    "candidates": "id, text",
    "rankings": "id, utilities",
}


@pytest.mark.slow
def test_killed_in_stages_one_after_another(
    finished: Config, server: str, environment: dict[str, str], tmp_path: Path
):
    config = smoke(tmp_path)
    environment = {**environment, "PREFECT_API_URL": server}
    arguments = ["run", SMOKE, "--json", *places(tmp_path)]
    for stage in STAGES:
        killed = killed_solon(stage, arguments, environment)
        assert killed.returncode == -signal.SIGKILL, (stage, killed.stderr)
        rows = Store(config.store).query("SELECT stage FROM stage_runs")
        assert {row["stage"] for row in rows} == set(STAGES[: STAGES.index(stage)])
    last = solon(arguments, environment)
    assert last.returncode == 0, last.stderr
    assert json.loads(last.stdout)["cycle"] == 1
    assert ids(config) == ids(finished)
    store = Store(config.store)
    assert store.query("SELECT * FROM check_orphans") == []
    assert store.query("SELECT * FROM check_duplicate_ids") == []
    assert not list(config.artifacts.rglob(".*"))


@pytest.mark.slow
def test_killed_in_the_middle_of_a_training_it_ends_in_the_same_weights(
    finished: Config, server: str, environment: dict[str, str], tmp_path: Path
):
    """PPO is killed in its second step, after the first checkpoint: the weights are bit-equal.

    So are, before the kill, two runs from one seed, one of them in a process of its own.
    """
    config = smoke(tmp_path, "compute.checkpoint_every=1", f"name={finished.name}")
    environment = {**environment, "PREFECT_API_URL": server}
    arguments = ["run", SMOKE, "--json", *places(tmp_path), "--set", "compute.checkpoint_every=1"]
    killed = killed_solon("train_policy:3", arguments, environment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    models = config.artifacts / "models"
    assert [path.name for path in models.glob(".policy-*/*")] == ["step-00000001"]
    run_cycles(config, 1, is_quiet=True)
    for table, columns in COLUMNS.items():
        query = f"SELECT {columns} FROM {table} ORDER BY ALL"
        assert Store(config.store).query(query) == Store(finished.store).query(query), table
    assert ids(config) == ids(finished)
    whole = finished.artifacts / "models"
    for weights in whole.rglob("*.safetensors"):
        assert (models / weights.relative_to(whole)).read_bytes() == weights.read_bytes()
    assert not list(config.artifacts.rglob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("append", "kept"),
    [
        pytest.param(5, "step-00000002", id="drawing"),
        pytest.param(12, "step-00000007", id="updating"),
    ],
)
def test_killed_while_it_draws_or_updates_best_of_n_writes_every_row_once(
    append: int,
    kept: str,
    finished: Config,
    server: str,
    environment: dict[str, str],
    tmp_path: Path,
):
    """The training prompts make four batches: two appends a batch drawn, one an update."""
    rows, bytes_of = [], []
    settings = (
        "training={algorithm: best_of_n, n: 2, epochs: 2, prompts_per_step: 8, "
        "missing_eos_score: null}"
    )
    for name in ("undisturbed", "killed"):
        shutil.copytree(finished.store.parent, tmp_path / name)
        config = smoke(tmp_path / name, settings, "compute.checkpoint_every=1", "name=best-of-n")
        if name == "killed":
            arguments = ["run", SMOKE, "--json", *places(tmp_path / name), "--set", settings]
            arguments += ["--set", "compute.checkpoint_every=1", "--set", "name=best-of-n"]
            stage = f"train_policy:{append}"
            killed = killed_solon(stage, arguments, {**environment, "PREFECT_API_URL": server})
            assert killed.returncode == -signal.SIGKILL, killed.stderr
            found = config.artifacts.glob("models/.policy-*/*")
            assert [path.name for path in found] == [kept]
        run_cycles(config, 1, is_quiet=True)
        store = Store(config.store)
        tables = ("metrics", "rollouts", "models", "candidates")
        rows.append([store.query(f"SELECT {COLUMNS[t]} FROM {t} ORDER BY ALL") for t in tables])
        assert store.query("SELECT * FROM check_duplicate_ids") == []
        weights = sorted(config.artifacts.glob("models/policy-*/*.safetensors"))
        bytes_of.append([path.read_bytes() for path in weights])
    assert rows[0] == rows[1]
    assert bytes_of[0] == bytes_of[1]
