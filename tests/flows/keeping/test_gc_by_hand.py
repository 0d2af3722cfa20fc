"""What `solon gc` keeps and removes, on a history written by hand: four cycles, no model."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from flows.keeping.lock import keeping
from flows.keeping.retention import Artifact, Kind, apply_retention, plan_retention
from flows.keeping.sizes import bytes_of
from rlhf_core.config import Config
from rlhf_core.errors import StoreBusyError
from rlhf_core.records import (
    ArtifactRemoval,
    ConfigVersion,
    CycleRun,
    JudgeModel,
    Metric,
    ModelInput,
    ModelKind,
    ModelVersion,
    Promotion,
    Rollback,
    RolloutRecord,
    StageRun,
)
from rlhf_core.store import Store
from tests.facts import prompt
from tests.flows.conftest import smoke

BASE = ModelVersion(kind=ModelKind.BASE, base="b", recipe="{}", config_hash="c")
SFT = ModelVersion(kind=ModelKind.SFT, base="b", parent_id=BASE.id, recipe="{}", config_hash="c")


def version(kind: ModelKind, cycle: int, parent: ModelVersion) -> ModelVersion:
    fields: dict[str, Any] = {"base": "b", "recipe": "{}", "config_hash": "c"}
    return ModelVersion(kind=kind, parent_id=parent.id, data_hash=str(cycle), **fields)


REWARDS = {cycle: version(ModelKind.REWARD, cycle, SFT) for cycle in (1, 2, 3, 4)}
FIRST = version(ModelKind.POLICY, 1, SFT)
POLICIES = {1: FIRST, **{cycle: version(ModelKind.POLICY, cycle, FIRST) for cycle in (2, 3, 4)}}
PROMOTED = (1, 3)
"""Cycles 2 and 4 were refused."""


def facts_of(cycle: int) -> list[Any]:
    """What a cycle of the line leaves in the store."""
    policy, reward = POLICIES[cycle], REWARDS[cycle]
    baseline = SFT if cycle == 1 else FIRST
    return [
        CycleRun(line="hand", cycle=cycle, config_hash="c", source="", attempt=f"run-{cycle}"),
        *([BASE, SFT] if cycle == 1 else []),
        reward,
        policy,
        ModelInput(model_id=policy.id, input_table="models", input_id=reward.id),
        Metric(model_id=policy.id, step=1, name="loss", value=0.0),
        RolloutRecord(model_id=policy.id, step=1, row=0, prompt_id=prompt().id, text="Because.",
                      score=0.0, kl=0.0, completion_tokens=1, finish_reason="eos"),
        Promotion(line="hand", config_hash="c", cycle=cycle, policy_id=policy.id,
                  baseline_id=baseline.id, evaluation_id="e", promoted=cycle in PROMOTED,
                  reasons=()),
        StageRun(line="hand", config_hash="c", cycle=cycle, stage="report", seconds=0,
                 detail="{}"),
    ]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the store and the artifacts of four cycles."""
    store = tmp_path / "solon.duckdb"
    Store(store, "setup").append([prompt(), ConfigVersion(config_hash="c", config="{}")])
    for cycle in POLICIES:
        Store(store, f"run-{cycle}").append(facts_of(cycle))
        write(tmp_path, f"reports/hand/cycle-{cycle}.html")
        policy = POLICIES[cycle].id
        write(tmp_path, f"tensorboard/hand-cycle-{cycle}-{policy}/events")
        for model in (REWARDS[cycle].id, policy):
            write(tmp_path, f"models/{model}/adapter.safetensors")
    write(tmp_path, f"models/{SFT.id}/model.safetensors")
    return tmp_path


def write(folder: Path, name: str) -> None:
    path = folder / "artifacts" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"1234567890")
    an_hour_ago = time.time() - 3600
    for each in (path, path.parent):
        os.utime(each, (an_hour_ago, an_hour_ago))


def config(folder: Path, keep: int | None = 1, *overrides: str) -> Config:
    retention = f"service.retention.keep_cycles={'null' if keep is None else keep}"
    return smoke(folder, "name=hand", retention, *overrides)


def models(folder: Path) -> set[str]:
    return {path.name for path in (folder / "artifacts" / "models").iterdir()}


def names(artifacts: tuple[Artifact, ...], kind: Kind) -> set[str]:
    return {Path(each.name).name for each in artifacts if each.kind is kind}


def test_null_keeps_everything(folder: Path):
    plan = plan_retention(config(folder, None))
    assert (plan.ended, plan.removed) == (4, ())
    assert len(names(plan.kept, Kind.MODEL)) == 9


def test_what_a_refused_old_cycle_left_goes_and_each_removal_is_a_fact(folder: Path):
    """Of cycles 1 and 3 came the champions, cycle 4 is the last: only cycle 2 goes."""
    gone = {POLICIES[2].id, REWARDS[2].id}
    before = models(folder)
    plan = apply_retention(config(folder))
    assert models(folder) == before - gone
    assert names(plan.removed, Kind.MODEL) == gone
    assert names(plan.removed, Kind.REPORT) == {"cycle-2.html"}
    assert names(plan.removed, Kind.CURVES) == {f"hand-cycle-2-{POLICIES[2].id}"}
    store = Store(folder / "solon.duckdb")
    texts = store.query("SELECT model_id FROM rollouts WHERE text IS NULL")
    assert [row["model_id"] for row in texts] == [POLICIES[2].id]
    facts = store.rows(ArtifactRemoval)
    assert sum(fact.bytes for fact in facts) == 4 * 10 + len("Because.")
    assert {fact.cycle for fact in facts} == {2}
    assert apply_retention(config(folder)).removed == ()
    assert not (folder / "artifacts" / "reports" / "hand" / "cycle-2.html").exists()


def test_without_the_lineage_older_champions_go_too(folder: Path):
    """The policy before the champion stays all the same: a rollback returns to it."""
    Store(folder / "solon.duckdb", "run-5").append(
        [
            Promotion(line="hand", config_hash="c", cycle=5, policy_id=POLICIES[4].id,
                      baseline_id=POLICIES[3].id, evaluation_id="e", promoted=True, reasons=()),
            StageRun(line="hand", config_hash="c", cycle=5, stage="report", seconds=0, detail="{}"),
        ]
    )  # fmt: skip
    kept = {SFT.id, *(each[cycle].id for cycle in (3, 4) for each in (POLICIES, REWARDS))}
    apply_retention(config(folder, 1, "service.retention.keep_lineage=false"))
    assert models(folder) == kept


def test_after_a_rollback_its_champion_stays(folder: Path):
    """Champion again is cycle 1's policy; that of cycle 3 is no longer needed, and is old."""
    later = [
        Rollback(line="hand", number=1, after_cycle=4, from_id=POLICIES[3].id, to_id=FIRST.id,
                 to_cycle=1, decided_by="ann", reason="worse"),
        CycleRun(line="hand", cycle=5, config_hash="c", source="", attempt="run-5"),
        StageRun(line="hand", config_hash="c", cycle=5, stage="report", seconds=0, detail="{}"),
    ]  # fmt: skip
    Store(folder / "solon.duckdb", "run-5").append(later)
    apply_retention(config(folder))
    assert models(folder) == {SFT.id, FIRST.id, REWARDS[1].id}


def test_what_judges_call_configs_name_and_other_lines_use_stays(folder: Path):
    store = Store(folder / "solon.duckdb", "elsewhere")
    store.append([JudgeModel(judge_version="reward_model@1", model_id=REWARDS[2].id)])
    assert REWARDS[2].id not in names(plan_retention(config(folder)).removed, Kind.MODEL)
    naming = config(folder, 1, f"abandoned_champion={POLICIES[2].id}")
    assert names(plan_retention(naming).removed, Kind.MODEL) == set()
    detail = f'{{"model": "{POLICIES[2].id}"}}'
    store.append([
        CycleRun(line="other", cycle=1, config_hash="c", source="", attempt="elsewhere"),
        StageRun(line="other", config_hash="c", cycle=1, stage="sample", seconds=0, detail=detail),
    ])  # fmt: skip
    assert names(plan_retention(config(folder)).removed, Kind.MODEL) == set()
    assert plan_retention(smoke(folder, "name=other")).removed == ()


def test_the_cycle_under_way_and_what_is_not_of_this_line_stay(folder: Path):
    write(folder, "models/handmade/weights")
    write(folder, f"models/.{POLICIES[2].id}.training/step-1")
    write(folder, "models/.policy-of-nobody.training/step-1")
    plan = plan_retention(config(folder))
    assert names(plan.removed, Kind.CHECKPOINT) == {f".{POLICIES[2].id}.training"}
    assert plan.others == ("models/.policy-of-nobody.training", "models/handmade")
    run = CycleRun(line="hand", cycle=5, config_hash="c", source="", attempt="run-5")
    Store(folder / "solon.duckdb", "run-5").append([run])
    for name in (POLICIES[2].id, f".{POLICIES[2].id}.training"):  # trained again by cycle 5
        (folder / "artifacts" / "models" / name / "new").write_text("")
    removed = plan_retention(config(folder)).removed
    assert names(removed, Kind.MODEL) == {REWARDS[2].id}
    assert names(removed, Kind.CHECKPOINT) == set()


def test_an_interrupted_training_goes_with_its_cycle(folder: Path):
    write(folder, "models/.policy-cut.training/step-1")
    Store(folder / "solon.duckdb", "run-2").append(
        [Metric(model_id="policy-cut", step=1, name="loss", value=0.0)]
    )
    assert names(plan_retention(config(folder, 3)).removed, Kind.CHECKPOINT) == set()
    removed = plan_retention(config(folder, 2)).removed
    assert names(removed, Kind.CHECKPOINT) == {".policy-cut.training"}


def test_what_a_run_removes_meanwhile_counts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("goes", "stays"):
        (tmp_path / name).write_bytes(b"1234567890")
    lstat = os.lstat

    def remove_first(path: str) -> os.stat_result:
        if path.endswith("goes"):
            os.unlink(path)
        return lstat(path)

    with monkeypatch.context() as running:
        running.setattr(os, "lstat", remove_first)
        assert bytes_of(tmp_path) == 10
    assert bytes_of(tmp_path / "goes") == 0


def test_a_backup_under_way_is_not_disturbed(folder: Path):
    with keeping(folder / "artifacts"), pytest.raises(StoreBusyError, match="wait for it"):
        apply_retention(config(folder))
