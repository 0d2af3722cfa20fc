"""Full disks, damaged files, folders nobody may write: a clear error, and a store that opens."""

import ctypes
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from rlhf_core.errors import StoreError
from rlhf_core.files.whole import scratch_folder
from rlhf_core.records import Prompt
from rlhf_core.store import Store, reading
from rlhf_core.store import store as store_module
from rlhf_core.store.columns import table_of, with_provenance
from rlhf_core.store.database import DatabaseFile
from rlhf_core.store.disk.files import lock_store
from tests.conftest import ROOT
from tests.facts import candidate, prompt, query_store

ONE, OTHER = prompt("one?"), prompt("other?")
FULL = "free space there and run again"
LARGE = [candidate(f"{n} " * 200, n) for n in range(1000)]


@contextmanager
def files_up_to(limit_bytes: int) -> Iterator[None]:
    """Simulate a full disk: no file can grow beyond the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def refusal(work: Callable[[], object]) -> str | None:
    """Return the store's message if it cannot do the work, or else None."""
    try:
        work()
    except StoreError as error:
        return str(error)
    return None


def texts(store: Store) -> list[str]:
    return [found.text for found in store.rows(Prompt)]


@pytest.mark.parametrize("room", [1000, 200_000, 540_000, 800_000])
def test_a_disk_that_is_full_while_appending_is_an_error_and_loses_nothing(store: Store, room: int):
    """Whatever the moment: in the log, in the data, in the checkpoint at the end."""
    store.append([ONE])
    kept = ["one?"]
    with files_up_to(room):
        if refusal(lambda: store.append([OTHER])) is None:
            kept.append("other?")
        with pytest.raises(StoreError, match=FULL):
            store.append(LARGE)
    assert texts(store) == kept
    assert store.counts()["candidates"] in (0, len(LARGE))
    assert store.append([OTHER]) == 2 - len(kept)
    store.append(LARGE)
    assert store.counts()["candidates"] == len(LARGE)
    assert store.query("SELECT * FROM check_duplicate_ids") == []


def test_a_disk_that_is_full_while_publishing_leaves_the_former_snapshot(store: Store):
    store.append([ONE])
    store.publish()
    store.append([OTHER])
    with files_up_to(300_000):
        with pytest.raises(StoreError, match=FULL):
            store.publish()
        with pytest.raises(StoreError, match=FULL):
            store.rewrite()
        assert query_store(store.files.database, "SELECT count(*) FROM prompts").rows == [(1,)]
    assert texts(store) == ["one?", "other?"]
    assert not list(store.files.database.parent.glob("*copy*"))


def test_a_disk_that_is_full_while_spooling_is_an_error_and_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store_module, "APPEND_TIMEOUT_SECONDS", 0.05)
    refused = pytest.raises(StoreError, match=f"File too large; {FULL}")
    with lock_store(store.files, 1), files_up_to(2000), refused:
        store.append(LARGE)
    assert list(store.files.spool.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs a small disk")
def test_a_small_disk_that_fills_up_loses_nothing_it_acknowledged(tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if subprocess.run(["mount", *options], check=False, capture_output=True).returncode:
        pytest.skip("may not mount here")
    try:
        store = Store(disk / "solon.duckdb")
        acknowledged, full = 0, None
        while full is None:
            facts = [candidate(os.urandom(2000).hex(), acknowledged + n) for n in range(100)]
            full = refusal(lambda facts=facts: store.append(facts))
            acknowledged += 100 if full is None else 0
        assert f"No space left on device; {FULL}" in full
        assert acknowledged > 0
        with pytest.raises(StoreError, match=f"No space left on device; {FULL}"):
            store.publish()
        subprocess.run(["mount", "-o", "remount,size=60m", str(disk)], check=True)
        assert store.counts()["candidates"] in (acknowledged, acknowledged + 100)
        assert store.query("SELECT * FROM check_duplicate_ids") == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


AUDITOR = """
import sys
from rlhf_core.errors import StoreError
from rlhf_core.store import Store, reading
from tests.facts import query_store
try:
    Store(sys.argv[1])
except StoreError as error:
    print(error)
print(query_store(sys.argv[1], "SELECT count(*) FROM prompts").rows)
"""


def without_root() -> None:
    """Drop root's right to write everywhere, from the next program on (PR_CAPBSET_DROP)."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="root may write everywhere elsewhere")
def test_a_folder_that_cannot_be_written_is_an_error_that_says_so(store: Store):
    """A user who may only read the folder gets the last snapshot."""
    store.append([ONE])
    store.publish()
    store.append([OTHER])
    folder = store.files.database.parent
    command = [sys.executable, "-c", AUDITOR, str(store.files.database)]
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555)
    try:
        said = subprocess.run(
            command, cwd=ROOT, check=True, capture_output=True, text=True, preexec_fn=without_root
        )
    finally:
        folder.chmod(0o755)
    assert said.stdout.splitlines() == [
        f"store folder {folder}: Permission denied; make it writable for this user and run again",
        "[(1,)]",
    ]
    assert "reading the last snapshot" in said.stderr


def test_a_damaged_log_is_put_aside_and_the_store_opens_without_it(store: Store, tmp_path: Path):
    store.append([ONE])
    with store_module.connect_store(store._database, 1) as connection:
        for number in range(20):
            store_module.insert(connection, batch_of(prompt(f"{number} " * 100)))
        killed = shutil.copytree(store.files.database.parent, tmp_path / "killed")
    left = Store.__new__(Store)  # migrates nothing, and so opens nothing yet
    left._database, left.read_timeout_seconds = DatabaseFile(killed / "solon.duckdb"), 1
    left.files = left._database.files
    log, database = left.files.log.read_bytes(), left.files.database.read_bytes()
    half = len(log) // 2
    flipped = log[:half] + bytes([log[half] ^ 255]) + log[half + 1 :]
    for damaged in (flipped, bytes(len(log)), b"x" * 5000):
        left.files.log.write_bytes(damaged)
        left.files.database.write_bytes(database)
        with pytest.raises(StoreError, match="write-ahead log was damaged") as caught:
            left.counts()
        (aside,) = killed.glob("*.damaged")
        assert str(aside) in str(caught.value)
        assert aside.read_bytes() == damaged
        assert texts(left) == ["one?"]
        aside.unlink()
    left.files.log.write_bytes(log)
    left.files.database.write_bytes(database)
    assert left.counts()["prompts"] == 21


def batch_of(fact: Prompt) -> dict[str, pa.Table]:
    return {"prompts": with_provenance(table_of(Prompt, [fact]), datetime.now(UTC), "run")}


def test_a_damaged_batch_in_the_spool_is_put_aside_and_the_others_are_added(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(store_module, "APPEND_TIMEOUT_SECONDS", 0.05)
    with lock_store(store.files, 1):
        for number in range(5):
            store.append([prompt(f"{number}?")])
    first, second, third, *_ = sorted(
        store.files.spool.iterdir(), key=lambda path: path.stat().st_mtime_ns
    )
    content = (first / "prompts.parquet").read_bytes()
    (first / "prompts.parquet").write_bytes(content[: len(content) // 2])
    content = bytearray((second / "prompts.parquet").read_bytes())
    content[40:44] = b"\xff\xff\xff\xff"
    (second / "prompts.parquet").write_bytes(content)
    (third / "prompts.parquet").rename(third / "moods.parquet")
    assert texts(store) == ["3?", "4?"]
    aside = sorted(path.name for path in store.files.spool.iterdir())
    assert len(aside) == 3
    assert all(name.endswith(".damaged") and name in caplog.text for name in aside)
    assert texts(store) == ["3?", "4?"]


@pytest.mark.parametrize("damage", ["no bytes", "half", "header", "data"])
def test_a_damaged_snapshot_is_made_again(store: Store, damage: str):
    store.append([candidate(f"{n} " * 200, n) for n in range(300)])
    content = bytearray(store.publish().read_bytes())
    if damage == "no bytes":
        content.clear()
    elif damage == "half":
        del content[20_000:]
    elif damage == "header":
        content[:8000] = b"x" * 8000
    else:
        for place in range(12_288, len(content), 4096):
            content[place : place + 64] = b"x" * 64
    store.files.snapshot.write_bytes(content)
    question = "SELECT count(*), sum(length(text)) FROM candidates"
    expected = (300, sum(len(f"{n} " * 200) for n in range(300)))
    assert query_store(store.files.database, question).rows == [expected]


def test_a_snapshot_found_damaged_by_a_question_is_made_again_for_the_next(store: Store):
    store.append([candidate(f"{n} " * 200, n) for n in range(300)])
    store.publish()
    question = "SELECT sum(length(text)) FROM candidates"
    with reading(store.files.database) as snapshot:
        with store.files.snapshot.open("r+b") as stream:
            for place in range(12_288, store.files.snapshot.stat().st_size, 4096):
                stream.seek(place)
                stream.write(b"x" * 64)
        with pytest.raises(StoreError, match="the next query makes it again"):
            snapshot.query(question)
    expected = sum(len(f"{n} " * 200) for n in range(300))
    assert query_store(store.files.database, question).rows == [(expected,)]


def test_what_killed_processes_left_is_removed_by_the_next_writer(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    files = store.files
    dead = files.spool / f".solon-{'b' * 32}.partial"
    dead.mkdir(parents=True)
    (dead / "prompts.parquet").write_bytes(b"half")
    copy, link = files.new_copy(), files.new_link()
    copy.touch()
    copy.with_name(copy.name + ".wal").touch()
    link.touch()
    other = files.database.with_name("mine.duckdb")
    other.touch()
    with scratch_folder(files.spool) as held:
        dead.mkdir()  # for the one above is gone by now
        store.append([ONE])
        assert held.exists()
    assert not dead.exists()
    assert not copy.exists()
    assert not copy.with_name(copy.name + ".wal").exists()
    assert link.exists()  # a reader may be about to open it
    assert other.exists()
    monkeypatch.setattr("rlhf_core.store.disk.files.LEFTOVER_SECONDS", 0.0)
    time.sleep(0.02)
    store.append([OTHER])
    assert not link.exists()


def test_a_rewrite_leaves_nothing_of_deleted_rows_on_disk(store: Store):
    secret = "correct-horse-battery-staple"
    store.append([prompt(f"{secret} {n}", context=f"{n}" * 500) for n in range(200)])
    store.append([ONE])
    store.publish()
    with store_module.connect_store(store._database, 1) as connection:
        connection.execute("DELETE FROM prompts WHERE text <> 'one?'")
    store.rewrite()
    assert texts(store) == ["one?"]
    assert query_store(store.files.database, "SELECT text FROM prompts").rows == [("one?",)]
    for path in store.files.database.parent.rglob("*"):
        assert path.is_dir() or secret.encode() not in path.read_bytes(), path.name
    assert store.append([OTHER]) == 1
    assert Store(store.files.database).counts()["prompts"] == 2
