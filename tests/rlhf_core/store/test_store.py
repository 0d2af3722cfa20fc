import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import duckdb
import pytest

from rlhf_core.errors import SchemaError, StoreBusyError, StoreError
from rlhf_core.records import RECORDS, Candidate, Prompt, Split
from rlhf_core.store import Store, queries
from rlhf_core.store import store as store_module
from rlhf_core.store.disk.files import lock_store
from tests.facts import candidate, prompt


def test_a_fact_is_added_once(store: Store):
    facts = [candidate("one", 0), candidate("two", 1)]
    assert store.append(facts) == 2
    assert store.append([*facts, candidate("three", 2)]) == 1
    assert store.append([candidate("three", 2)] * 2) == 0
    assert store.counts()["candidates"] == 3


def test_a_record_reads_back_as_it_was_written(store: Store):
    """Control characters, quotes, other scripts, empty and missing: what models write is data."""
    texts = ["\x00\x1b[31m", "'); DROP TABLE prompts; --", "日本語 🎉", "", "a\r\nb\t\u2028c"]
    facts = [
        candidate(text, index, token_ids=(1, 2), logprobs=(-0.5, -(2.0**-20)), latency_seconds=0.25)
        for index, text in enumerate(texts)
    ]
    store.append(facts)
    store.append([candidate("no tokens", 99)])
    assert store.rows(Candidate)[:-1] == facts
    assert store.rows(Candidate)[-1].logprobs is None


def test_every_record_has_its_table_with_the_same_columns(store: Store):
    for record in RECORDS:
        columns = {
            row["column_name"]
            for row in store.query(
                "SELECT column_name FROM duckdb_columns() WHERE table_name = ?", [record.table]
            )
        }
        fields = set(record.model_fields) | {"id", "created_at", "run_id", "code_version"}
        assert columns == fields, record.table


def test_every_row_says_when_by_which_run_and_code(store: Store):
    store.append([prompt()])
    (row,) = store.query("SELECT * FROM prompts")
    assert row["run_id"] == "test"
    assert row["code_version"].startswith("0.")
    assert abs(row["created_at"].timestamp() - time.time()) < 60


def test_a_batch_is_added_whole_or_not_at_all(store: Store, monkeypatch: pytest.MonkeyPatch):
    exact = store_module._new

    def fail_on_candidates(connection, table, rows):
        if table == "candidates":
            raise MemoryError
        return exact(connection, table, rows)

    monkeypatch.setattr(store_module, "_new", fail_on_candidates)
    with pytest.raises(MemoryError):
        store.append([prompt(), candidate("one")])
    monkeypatch.undo()
    assert store.counts()["prompts"] == 0


def test_queries_take_values_as_parameters(store: Store):
    asked = [prompt(f"{n}?", split=Split.HOLDOUT if n % 2 else Split.TRAIN) for n in range(6)]
    store.append(asked)
    assert queries.known_ids(store, "prompts", [asked[0].id, "x'; DROP TABLE prompts; --"]) == {
        asked[0].id
    }
    assert len(store.rows(Prompt, "split = ?", ["holdout"])) == 3


def test_a_writer_that_cannot_get_the_lock_spools_and_the_next_one_drains(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store_module, "APPEND_TIMEOUT_SECONDS", 0.05)
    with lock_store(store.files, 1):
        assert store.append([prompt("waited?")]) == 0
    assert len(list(store.files.spool.iterdir())) == 1
    assert [found.text for found in store.rows(Prompt)] == ["waited?"]
    assert list(store.files.spool.iterdir()) == []


def test_draining_twice_after_a_crash_adds_nothing_twice(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store_module, "APPEND_TIMEOUT_SECONDS", 0.05)
    with lock_store(store.files, 1):
        store.append([prompt("waited?"), candidate("x")])
    (waiting,) = store.files.spool.iterdir()
    copy = shutil.copytree(waiting, tmp_path / "copy")
    store.counts()
    copy.rename(waiting)  # as if the crash came between commit and removal
    assert store.counts()["prompts"] == 1


def test_a_reader_that_waits_too_long_is_told_what_to_do(store: Store):
    impatient = Store(store.files.database, read_timeout_seconds=0.05)
    with lock_store(store.files, 1), pytest.raises(StoreBusyError, match="`solon sql`"):
        impatient.counts()


def test_a_store_held_open_elsewhere_is_refused_with_the_mend(store: Store):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import duckdb, time; c = duckdb.connect({str(store.files.database)!r}); "
            "print('held', flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(StoreBusyError, match="held open by another program; close it there"):
            store.counts()
    finally:
        holder.kill()
        holder.communicate()


def test_what_is_no_store_is_refused(tmp_path: Path):
    path = tmp_path / "solon.duckdb"
    path.write_bytes(b"x" * 8192)
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="store folder"):
        Store(tmp_path / "file" / "solon.duckdb")


def test_a_link_leads_to_the_same_store_and_lock(store: Store, tmp_path: Path):
    (tmp_path / "link.duckdb").symlink_to(store.files.database)
    assert Store(tmp_path / "link.duckdb").files == store.files


def test_a_store_of_a_newer_version_is_left_alone(store: Store):
    with duckdb.connect(str(store.files.database)) as connection:
        connection.execute("INSERT INTO migrations (number, name, hash) VALUES (999, 'x', 'y')")
    with pytest.raises(SchemaError, match="newer Solon"):
        Store(store.files.database)


def test_an_edited_migration_is_refused(store: Store):
    with duckdb.connect(str(store.files.database)) as connection:
        connection.execute("UPDATE migrations SET hash = 'other' WHERE number = 1")
    with pytest.raises(SchemaError, match=r"0001_facts\.sql is not the one"):
        Store(store.files.database)


def test_opening_again_migrates_nothing_again(store: Store):
    applied = store.query("FROM migrations")
    Store(store.files.database)
    assert store.query("FROM migrations") == applied


WRITER = """
import sys
from rlhf_core.store import Store
from tests.facts import candidate
store = Store(sys.argv[1], run_id="writer")
for batch in range(int(sys.argv[2]), int(sys.argv[3])):
    store.append([candidate(f"{batch} {n}", 1000 * batch + n) for n in range(40)])
    print(batch, flush=True)
"""


def writer(store: Store, first: int, last: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(store.files.database)]
    return subprocess.Popen([*command, str(first), str(last)], stdout=subprocess.PIPE)


def test_writers_in_several_processes_lose_nothing(store: Store):
    writers = [writer(store, 10 * n, 10 * n + 10) for n in range(3)]
    assert [process.wait() for process in writers] == [0, 0, 0]
    for process in writers:
        process.communicate()
    assert store.counts()["candidates"] == 3 * 10 * 40


def test_killed_while_writing_the_store_holds_whole_batches(store: Store):
    process = writer(store, 0, 10_000)
    assert process.stdout is not None
    for _ in range(5):
        process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    printed, _ = process.communicate()
    done = 5 + len(printed.splitlines())
    counts = store.query(
        "SELECT sample_index // 1000 AS batch, count(*) AS n FROM candidates GROUP BY batch"
    )
    assert {row["n"] for row in counts} == {40}
    assert len(counts) in (done, done + 1)
