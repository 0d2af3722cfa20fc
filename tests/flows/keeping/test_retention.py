"""`solon gc` removes what no kept champion needs, and everything goes on afterwards."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.cycle.cycle import cycle_of
from flows.keeping.lock import keeping
from flows.keeping.retention import Kind, apply_retention, plan_retention
from flows.keeping.sizes import bytes_of
from flows.reports.cycle_page import write_report
from flows.run import run_cycles
from rlhf_core.config import Config
from rlhf_core.errors import StoreBusyError
from rlhf_core.files.whole import UNFINISHED
from rlhf_core.records import ArtifactRemoval, JudgeModel, Promotion, RolloutRecord
from rlhf_core.store import Store, reading
from rlhf_core.store.audit.checks import Severity, run_checks
from rlhf_core.store.lineage.tree import lineage_up, subject_of
from tests.flows.conftest import places
from tests.flows.keeping.conftest import LOSES, WINS, line_in
from tests.flows.test_cli import call

KEEPS_ONE = "service.retention.keep_cycles=1"

pytestmark = [pytest.mark.usefixtures("server"), pytest.mark.slow]


@pytest.fixture
def line(long_line: Path, tmp_path: Path) -> Path:
    """A copy of the long line: cycles 1 and 4 promoted, 2, 3 and 5 refused."""
    shutil.copytree(long_line, tmp_path / "line", symlinks=True)
    return tmp_path / "line"


def models(config: Config) -> set[str]:
    return {path.name for path in (config.artifacts / "models").iterdir()}


def decisions(config: Config) -> dict[int, Promotion]:
    return {row.cycle: row for row in Store(config.store).rows(Promotion)}


def facts(config: Config) -> dict[str, list[Any]]:
    """All ids of the store, but for those of the removals themselves."""
    store = Store(config.store)
    return {
        table: sorted(row["id"] for row in store.query(f"SELECT id FROM {table}"))
        for table in store.counts()
        if table != "artifact_removals"
    }


def reward_model(config: Config, policy: str) -> str:
    (row,) = Store(config.store).query(
        "SELECT source_id FROM model_sources WHERE model_id = ? AND relation = 'input'", [policy]
    )
    return str(row["source_id"])


def test_without_a_limit_everything_is_kept(line: Path):
    plan = plan_retention(line_in(line))
    assert plan.removed == ()
    assert plan.ended == 5
    kinds = {artifact.kind for artifact in plan.kept}
    assert {Kind.MODEL, Kind.REPORT, Kind.ROLLOUTS} <= kinds


def test_only_old_refused_policies_and_their_reward_models_go(line: Path):
    """Cycles 2 and 3 were refused; 1 and 4 are the champion and behind it; 5 is the last."""
    config = line_in(line, KEEPS_ONE)
    decided, before = decisions(config), facts(config)
    refused = {decided[cycle].policy_id for cycle in (2, 3)}
    goes = refused | {reward_model(config, policy) for policy in refused}
    present = models(config)
    assert goes < present
    plan = apply_retention(config)
    assert models(config) == present - goes
    assert {each.model_id for each in plan.removed if each.kind is Kind.MODEL} == goes
    assert {each.name for each in plan.removed if each.kind is Kind.REPORT} == {
        f"reports/kept/cycle-{cycle}.html" for cycle in (2, 3)
    }
    assert facts(config) == before
    rollouts = Store(config.store).rows(RolloutRecord)
    assert {row.model_id for row in rollouts if row.text is None} == refused
    assert all(row.text is None for row in rollouts if row.model_id in refused)
    removals = Store(config.store).rows(ArtifactRemoval)
    assert {(row.kind, row.name, row.bytes) for row in removals} == {
        (each.kind.value, each.name, each.bytes) for each in plan.removed
    }
    assert sum(row.bytes for row in removals) > 0
    assert apply_retention(config).removed == ()


def test_every_model_in_the_lineage_of_the_champion_stays(line: Path):
    config = line_in(line, KEEPS_ONE)
    champion = decisions(config)[4].policy_id
    apply_retention(config)
    behind = Store(config.store).query(
        "SELECT ancestor_id FROM model_ancestry WHERE model_id = ? AND ancestor_kind <> 'base'",
        [champion],
    )
    assert len(behind) >= 5  # two policies, two reward models, the SFT model
    assert {row["ancestor_id"] for row in behind} <= models(config)


def test_what_loads_and_continues_the_champions_stays_without_the_lineage(line: Path):
    config = line_in(line, KEEPS_ONE, "service.retention.keep_lineage=false")
    store, decided = Store(config.store), decisions(config)
    apply_retention(config)
    (sft,) = store.query("SELECT id FROM models WHERE kind = 'sft'")
    kept = {decided[cycle].policy_id for cycle in (1, 4, 5)}
    assert models(config) == {sft["id"], *kept, *(reward_model(config, each) for each in kept)}


def test_checks_lineage_reports_and_the_next_cycle_work_afterwards(line: Path):
    config = line_in(line, KEEPS_ONE, *WINS)
    champion = decisions(config)[4].policy_id
    with reading(config.store) as snapshot:
        before = lineage_up(snapshot, subject_of(snapshot, champion))
        found = [(check.name, check.found) for check in run_checks(snapshot)]
    apply_retention(config)
    with reading(config.store) as snapshot:
        assert lineage_up(snapshot, subject_of(snapshot, champion)) == before
        checks = run_checks(snapshot)
        assert [(check.name, check.found) for check in checks] == found
        assert [c for c in checks if c.found and c.severity is Severity.ERROR] == []
        views = snapshot.query("SELECT view_name FROM duckdb_views() WHERE NOT internal").rows
        for (view,) in views:
            snapshot.query(f"SELECT count(*) FROM {view}")
    for cycle in range(1, 6):  # those of removed cycles too
        assert write_report(Store(config.store), cycle_of(config, cycle)).stat().st_size > 0
    added = run_cycles(config, 6, is_quiet=True)
    assert added["promotions"] == 1
    assert decisions(config)[6].baseline_id == champion


def test_a_removed_model_is_trained_again_where_it_is_needed(line: Path):
    """As after an edit that is undone: its row is there, its folder is not."""
    config = line_in(line, KEEPS_ONE, *LOSES)
    sft = next(name for name in models(config) if name.startswith("sft-"))
    run_cycles(config, 6, is_quiet=True)
    before = facts(config)
    policy = decisions(config)[6].policy_id
    store = Store(config.store)
    for name in (sft, policy):
        shutil.rmtree(config.artifacts / "models" / name)
        store.append(
            [ArtifactRemoval(kind="model", name=f"models/{name}", model_id=name, line="kept",
                             cycle=1, keep_cycles=1, bytes=1, removed_by="me", removal="r")]
        )  # fmt: skip
    from flows.pipeline import pipeline

    pipeline(cycle_of(config, 6))
    assert {sft, policy} <= models(config)
    assert {**facts(config), "cycle_runs": []} == {**before, "cycle_runs": []}


def test_models_of_judges_configs_and_other_lines_stay(line: Path):
    config = line_in(line, KEEPS_ONE)
    decided = decisions(config)
    judge, named = (reward_model(config, decided[cycle].policy_id) for cycle in (2, 3))
    Store(config.store).append([JudgeModel(judge_version="reward_model@1", model_id=judge)])
    naming = line_in(line, KEEPS_ONE, f"abandoned_champion={named}")
    apply_retention(naming)
    assert {judge, named} <= models(config)
    other = line_in(line, KEEPS_ONE, "name=other")
    assert plan_retention(other).removed == ()


def test_files_of_the_cycle_under_way_and_unknown_ones_stay(line: Path):
    """A training that ended in a kill is kept while its cycle is open, and goes N cycles later."""
    config = line_in(line, KEEPS_ONE)
    folder = config.artifacts / "models"
    (folder / "handmade").mkdir()
    policy = decisions(config)[2].policy_id
    leftover = folder / f".{policy}.training"
    (leftover / "step-00000001").mkdir(parents=True)
    (folder / ".policy-of-nobody.training").mkdir()
    plan = apply_retention(config)
    assert {each.name for each in plan.removed if each.kind is Kind.CHECKPOINT} == {
        f"models/{leftover.name}"
    }
    assert set(plan.others) == {"models/handmade", "models/.policy-of-nobody.training"}
    assert not leftover.exists()


KILLED = """
import os, signal, sys
from rlhf_core.files import whole
from flows.keeping import retention
from tests.flows.keeping.conftest import line_in
from pathlib import Path
real, left = whole._remove, [int(sys.argv[2])]
def remove(path):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    real(path)
whole._remove = remove
retention.apply_retention(line_in(Path(sys.argv[1]), "service.retention.keep_cycles=1"))
"""


@pytest.mark.parametrize("survived", [0, 2])
def test_a_kill_in_the_middle_leaves_nothing_in_part(
    line: Path, survived: int, environment: dict[str, str]
):
    config = line_in(line, KEEPS_ONE)
    wanted = models(config) - {
        each.name.removeprefix("models/") for each in plan_retention(config).removed
    }
    sizes = {name: bytes_of(config.artifacts / "models" / name) for name in models(config)}
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(line), str(survived)],
        env={**environment, "PYTHONPATH": os.getcwd()},
        check=False,
        timeout=120,
    )
    assert ended.returncode == -signal.SIGKILL
    for name in models(config):
        if not UNFINISHED.fullmatch(name):
            assert bytes_of(config.artifacts / "models" / name) == sizes[name]
    apply_retention(config)
    assert models(config) == wanted  # what the killed one had put aside is gone too


def test_a_backup_keeps_the_removal_waiting(line: Path):
    config = line_in(line, KEEPS_ONE)
    with keeping(config.artifacts), pytest.raises(StoreBusyError, match="wait for it"):
        apply_retention(config)


def test_the_command_says_what_and_how_much(
    line: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    config = line_in(line, KEEPS_ONE)
    settings = [*places(line), "--set", "name=kept", "--set", KEEPS_ONE]
    arguments = ["gc", "deploy/configs/smoke.yaml", *settings]
    before = models(config)
    assert call(monkeypatch, *arguments, "--list") == 0
    shown = capsys.readouterr().out
    assert "to remove" in shown
    assert "add --delete" in shown
    assert decisions(config)[2].policy_id in shown
    assert models(config) == before
    assert call(monkeypatch, *arguments, "--delete", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["is_removed"]
    gone = {each["model_id"] for each in told["removed"] if each["kind"] == "model"}
    assert gone == before - models(config)
    assert (
        call(monkeypatch, "gc", "deploy/configs/smoke.yaml", *places(line), "--set", "name=kept")
        == 0
    )
    assert "set service.retention.keep_cycles" in capsys.readouterr().out.replace("\n", " ")
