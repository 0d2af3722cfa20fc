"""A backup is whole or absent, fits together while a run goes on, and continues elsewhere."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.keeping.backup import back_up
from flows.keeping.lock import keeping
from flows.keeping.manifest import (
    MANIFEST,
    STORE,
    USER_KEY,
    Advance,
    Manifest,
    SavedFile,
    copy_file,
    read_manifest,
)
from flows.keeping.restore import restore
from flows.run import run_cycles
from rlhf_core.config import Config
from rlhf_core.errors import DataFileError, InputError, SolonError, StoreBusyError, StoreError
from rlhf_core.files.links import switch_link
from rlhf_core.records import PromptUser
from rlhf_core.store import Store
from rlhf_core.store.disk.files import StoreFiles
from tests.facts import prompt
from tests.flows.conftest import SMOKE, places, smoke
from tests.flows.processes import SOLON
from tests.flows.test_cli import call

LINE = ("name=kept", "training.steps=4", "compute.checkpoint_every=1")


def nothing(read: int) -> None:
    """Count nothing."""


def save(folder: Path, to: Path) -> Manifest:
    """Back up the store and artifacts of a folder."""
    return back_up(folder / "solon.duckdb", folder / "artifacts", to, nothing)


def bring_back(backup: Path, folder: Path) -> None:
    manifest = read_manifest(backup)
    restore(backup, manifest, folder / "solon.duckdb", folder / "artifacts", nothing)


def files(folder: Path) -> dict[str, bytes]:
    """Contents of all files of a folder of artifacts, but for the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".keeping.lock"
    }


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder with a store of two facts, and a model of two files."""
    folder = tmp_path / "small"
    asked = prompt()
    Store(folder / "solon.duckdb").append([asked, PromptUser(prompt_id=asked.id, user_id="ann")])
    model = folder / "artifacts" / "models" / "policy-1"
    model.mkdir(parents=True)
    (model / "adapter.safetensors").write_bytes(b"weights" * 1000)
    (model / "config.json").write_text("{}")
    (folder / "artifacts" / "champion").symlink_to("models/policy-1")
    StoreFiles.at(folder / "solon.duckdb").user_key.write_text("secret")
    return folder


def test_what_is_restored_equals_what_was_saved(small: Path, tmp_path: Path):
    manifest = save(small, tmp_path / "backup")
    assert manifest.rows["prompts"] == manifest.rows["prompt_users"] == 1
    bring_back(tmp_path / "backup", tmp_path / "new")
    new = tmp_path / "new"
    assert files(new / "artifacts") == files(small / "artifacts")
    assert os.readlink(new / "artifacts" / "champion") == "models/policy-1"
    rows = [
        Store(each / "solon.duckdb").query("SELECT * FROM prompts JOIN prompt_users ON true")
        for each in (small, new)
    ]
    assert rows[0] == rows[1]
    key = StoreFiles.at(new / "solon.duckdb").user_key
    assert key.read_text() == "secret"
    assert key.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "backup" / USER_KEY).stat().st_mode & 0o777 == 0o600


def test_a_backup_replaces_nothing(small: Path, tmp_path: Path):
    (tmp_path / "backup").mkdir()
    with pytest.raises(DataFileError, match="exists; name a new folder"):
        save(small, tmp_path / "backup")
    with pytest.raises(DataFileError, match="lies in the artifacts"):
        save(small, small / "artifacts" / "backup")
    with pytest.raises(StoreError, match="no store at"):
        back_up(tmp_path / "none.duckdb", small / "artifacts", tmp_path / "b", nothing)
    assert not (tmp_path / "b").exists()
    with keeping(small / "artifacts"), pytest.raises(StoreBusyError, match="wait for it"):
        save(small, tmp_path / "b")


def test_a_restore_replaces_nothing(small: Path, tmp_path: Path):
    save(small, tmp_path / "backup")
    before = files(small / "artifacts")
    with pytest.raises(DataFileError, match=r"solon\.duckdb exists; move it away"):
        bring_back(tmp_path / "backup", small)
    filled = tmp_path / "filled"
    (filled / "artifacts" / "models").mkdir(parents=True)
    with pytest.raises(DataFileError, match="is not empty; move it away"):
        bring_back(tmp_path / "backup", filled)
    assert not (filled / "solon.duckdb").exists()
    assert files(small / "artifacts") == before
    manifest = read_manifest(tmp_path / "backup")
    with pytest.raises(InputError, match="is a lake: restore into a file"):
        restore(tmp_path / "backup", manifest, "ducklake:postgresql://d/b?data=f", filled, nothing)


def test_a_restore_that_was_killed_can_be_started_again(small: Path, tmp_path: Path):
    """The artifacts are in place, the key is cut off, and the store is not there."""
    save(small, tmp_path / "backup")
    bring_back(tmp_path / "backup", tmp_path / "new")
    store = tmp_path / "new" / "solon.duckdb"
    store.unlink()
    StoreFiles.at(store).user_key.write_text("sec")
    bring_back(tmp_path / "backup", tmp_path / "new")
    assert Store(store).counts()["prompts"] == 1
    assert StoreFiles.at(store).user_key.read_text() == "secret"
    store.unlink()
    StoreFiles.at(store).user_key.write_text("another")
    with pytest.raises(DataFileError, match="is another key than that of the backup"):
        bring_back(tmp_path / "backup", tmp_path / "new")


def test_artifacts_with_another_champion_are_not_those_of_the_backup(small: Path, tmp_path: Path):
    save(small, tmp_path / "backup")
    bring_back(tmp_path / "backup", tmp_path / "new")
    (tmp_path / "new" / "solon.duckdb").unlink()
    link = tmp_path / "new" / "artifacts" / "champion"
    link.unlink()
    link.symlink_to("models/policy-2")
    with pytest.raises(DataFileError, match="is not empty; move it away"):
        bring_back(tmp_path / "backup", tmp_path / "new")


@pytest.mark.parametrize("name", [STORE, "artifacts/models/policy-1/adapter.safetensors"])
def test_a_damaged_backup_is_refused_before_anything_is_written(
    name: str, small: Path, tmp_path: Path
):
    save(small, tmp_path / "backup")
    with (tmp_path / "backup" / name).open("r+b") as stream:
        stream.seek(1000)
        byte = stream.read(1)
        stream.seek(1000)
        stream.write(bytes([byte[0] ^ 1]))
    with pytest.raises(DataFileError, match=f"{name} is not the file that was saved"):
        bring_back(tmp_path / "backup", tmp_path / "new")
    (tmp_path / "backup" / name).unlink()
    with pytest.raises(DataFileError, match="No such file"):
        bring_back(tmp_path / "backup", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"links": {"artifacts/champion": "../../../etc"}},
        {"links": {"artifacts/champion": "/etc"}},
        {"files": {"artifacts/../../x": {"bytes": 0, "sha256": ""}}},
        {"files": {"/etc/x": {"bytes": 0, "sha256": ""}}},
    ],
)
def test_a_manifest_cannot_lead_out_of_its_folder(
    change: dict[str, object], small: Path, tmp_path: Path
):
    save(small, tmp_path / "backup")
    path = tmp_path / "backup" / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataFileError, match="outside of the backup"):
        read_manifest(tmp_path / "backup")


def test_a_newer_backup_and_what_is_none_are_refused(small: Path, tmp_path: Path):
    with pytest.raises(DataFileError, match="name a folder that `solon backup` wrote"):
        read_manifest(small)
    save(small, tmp_path / "backup")
    path = tmp_path / "backup" / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(DataFileError, match="newer version"):
        read_manifest(tmp_path / "backup")


def test_a_champion_that_is_replaced_meanwhile_is_saved_whole(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The link changes, and the former folder goes, after its files were listed."""
    home = small / "artifacts" / "champions"
    former, following = (home / ".versions" / name for name in ("one", "two"))
    for folder in (former, following):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(folder.name)
    switch_link(home / "line", former)

    def copy(source: Path, target: Path, advance: Advance) -> SavedFile:
        if source.parent == former:
            switch_link(home / "line", following)
            shutil.rmtree(former)
        return copy_file(source, target, advance)

    monkeypatch.setattr("flows.keeping.backup.copy_file", copy)
    save(small, tmp_path / "backup")
    saved = tmp_path / "backup" / "artifacts" / "champions"
    assert (saved / "line" / "config.json").read_text() == "two"
    assert [path.name for path in (saved / ".versions").iterdir()] == ["two"]


def test_a_link_that_leads_out_is_refused(small: Path, tmp_path: Path):
    (small / "artifacts" / "away").symlink_to("/etc/hostname")
    with pytest.raises(DataFileError, match="leads out of the artifacts"):
        save(small, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from flows.keeping import backup
real, left = backup.copy_file, [1]
def copy(*arguments):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return real(*arguments)
backup.copy_file = copy
small, to = map(Path, sys.argv[1:])
backup.back_up(small / "solon.duckdb", small / "artifacts", to, lambda read: None)
"""


def test_a_killed_backup_leaves_no_folder(small: Path, tmp_path: Path, environment: dict[str, str]):
    command = [sys.executable, "-c", KILLED, str(small), str(tmp_path / "backups" / "one")]
    ended = subprocess.run(command, env={**environment}, check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_path / "backups" / "one").exists()
    save(small, tmp_path / "backups" / "two")
    assert [path.name for path in (tmp_path / "backups").iterdir()] == ["two"]


def test_the_commands(
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    here, there = ([f"store={each / 'solon.duckdb'}", f"artifacts={each / 'artifacts'}"]
                   for each in (small, tmp_path / "new"))  # fmt: skip
    to = str(tmp_path / "backup")
    sets = [word for each in here for word in ("--set", each)]
    assert call(monkeypatch, "backup", to, *sets) == 0
    assert "backed up to" in capsys.readouterr().out
    assert call(monkeypatch, "restore", to, "--check") == 0
    assert "is whole: 2 rows" in capsys.readouterr().out
    sets = [word for each in there for word in ("--set", each)]
    assert call(monkeypatch, "restore", to, *sets, "--json") == 0
    assert json.loads(capsys.readouterr().out)["rows"]["prompts"] == 1
    assert call(monkeypatch, "restore", to, *sets) == 2


def ids(config: Config) -> dict[str, list[str]]:
    """All ids of a store by table, without the attempts of cycles."""
    store = Store(config.store)
    return {
        table: sorted(row["id"] for row in store.query(f"SELECT id FROM {table}"))
        for table in store.counts()
        if table not in ("cycle_runs", "artifact_removals")
    }


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_backups_of_a_running_cycle_continue_elsewhere_to_the_same_rows(
    tmp_path: Path, environment: dict[str, str]
):
    """Backups are taken all through a cycle; each restored one ends in the undisturbed rows."""
    running, whole = tmp_path / "running", smoke(tmp_path / "whole", *LINE)
    settings = [word for each in LINE for word in ("--set", each)]
    command = [SOLON, "run", SMOKE, *places(running), *settings]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    backups: list[Path] = []
    try:
        while process.poll() is None:
            to = tmp_path / "backups" / str(len(backups))
            try:
                save(running, to)
                backups.append(to)
            except SolonError:  # the store is not there yet
                time.sleep(0.5)
            time.sleep(0.2)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    run_cycles(whole, 1, is_quiet=True)
    middle = [to for to in backups if is_in_the_middle(to)]
    training = [
        to for to in middle if any(".training/" in name for name in read_manifest(to).files)
    ]
    assert middle
    for number, to in enumerate({*middle[:1], *middle[-1:], *training[-1:]}):
        folder = tmp_path / "restored" / str(number)
        bring_back(to, folder)
        shutil.rmtree(to)
        config = smoke(folder, *LINE)
        run_cycles(config, 1, is_quiet=True)
        assert ids(config) == ids(whole), to


def is_in_the_middle(backup: Path) -> bool:
    rows = read_manifest(backup).rows
    return rows["candidates"] > 0 and rows["promotions"] == 0
