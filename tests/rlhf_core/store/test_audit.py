import importlib
import os
import shutil
import time
from pathlib import Path

import duckdb
import pytest

from rlhf_core.errors import QueryError, StoreError
from rlhf_core.store import Store, reading
from rlhf_core.store.disk.files import lock_store
from tests.facts import candidate, prompt, query_store


@pytest.fixture
def filled(store: Store) -> Store:
    store.append([prompt(), candidate("one", 0), candidate("two", 1)])
    return store


def test_answers_with_columns_rows_and_age(filled: Store):
    answer = query_store(
        filled.files.database, "SELECT sample_index, text FROM candidates ORDER BY 1"
    )
    assert answer.columns == ["sample_index", "text"]
    assert answer.rows == [(0, "one"), (1, "two")]
    assert 0 <= answer.age_seconds < 60


def test_what_a_question_is_asked_of_is_bound_and_not_pasted(filled: Store):
    """A quote in it closes nothing."""
    with reading(filled.files.database) as snapshot:
        sql = "SELECT text FROM candidates WHERE text IN ($one, $other)"
        found = snapshot.query(sql, {"one": "one", "other": "') OR true --"})
    assert found.as_dicts() == [{"text": "one"}]


def test_a_snapshot_is_refreshed_when_the_store_moved_on(filled: Store):
    query_store(filled.files.database, "SELECT 1")
    past = time.time() - 60
    os.utime(filled.files.snapshot, (past, past))
    filled.append([candidate("three", 2)])
    assert query_store(filled.files.database, "SELECT count(*) FROM candidates").rows == [(3,)]


def test_a_clock_that_goes_back_leaves_no_auditor_on_an_old_snapshot(filled: Store):
    """Facts written since are dated an hour before the snapshot."""
    files = filled.files
    query_store(files.database, "SELECT 1")
    filled.append([candidate("three", 2)])
    future, past = time.time() + 3600, time.time() - 60
    os.utime(files.snapshot, (future, future))
    os.utime(files.database, (past, past))
    answer = query_store(files.database, "SELECT count(*) FROM candidates")
    assert answer.rows == [(3,)]
    assert 0 <= answer.age_seconds < 60


def test_an_age_is_never_negative_and_an_unknown_one_is_said(
    filled: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    query_store(filled.files.database, "SELECT 1")
    future = time.time() + 3600
    os.utime(filled.files.snapshot, (future, future))
    assert query_store(filled.files.database, "SELECT 1").age_seconds == 0
    assert caplog.text == ""
    filled.append([candidate("three", 2)])
    module = importlib.import_module("rlhf_core.store.snapshot")
    monkeypatch.setattr(module, "REFRESH_TIMEOUT_SECONDS", 0.1)
    with lock_store(filled.files, 1):
        assert query_store(filled.files.database, "SELECT 1").age_seconds == 0
    assert "clock was set back" in caplog.text


def test_a_store_put_back_from_a_backup_is_news(filled: Store, tmp_path: Path):
    """Its file is older than the snapshot."""
    files = filled.files
    filled.publish()
    backup = tmp_path / "backup"
    shutil.copy2(files.database, backup)
    filled.append([candidate("three", 2)])
    assert filled.publish().exists()
    os.replace(backup, files.database)
    past = time.time() - 60
    os.utime(files.snapshot, (past, past))
    assert query_store(files.database, "SELECT count(*) FROM candidates").rows == [(2,)]


def test_a_store_without_news_is_not_copied_again(filled: Store):
    snapshot = filled.publish()
    copied = snapshot.stat().st_ino
    past = time.time() - 60
    os.utime(snapshot, (past, past))
    for _ in range(2):
        query_store(filled.files.database, "SELECT 1")
        filled.publish()
    assert snapshot.stat().st_ino == copied


def test_a_locked_store_is_answered_from_the_last_snapshot(filled: Store, monkeypatch):
    query_store(filled.files.database, "SELECT 1")
    filled.append([candidate("three", 2)])
    past = time.time() - 60
    os.utime(filled.files.snapshot, (past, past))
    module = importlib.import_module(
        "rlhf_core.store.snapshot"
    )  # the package names its function so
    monkeypatch.setattr(module, "REFRESH_TIMEOUT_SECONDS", 0.1)
    with lock_store(filled.files, 1):
        answer = query_store(filled.files.database, "SELECT count(*) FROM candidates")
    assert answer.rows == [(2,)]
    assert answer.age_seconds > 50


def test_a_reader_keeps_its_view_while_snapshots_are_published(filled: Store):
    snapshot = filled.publish()
    with duckdb.connect(str(snapshot), read_only=True) as reader:
        filled.append([candidate("three", 2)])
        filled.publish()
        assert reader.execute("SELECT count(*) FROM candidates").fetchone() == (2,)
    with duckdb.connect(str(snapshot), read_only=True) as reader:
        assert reader.execute("SELECT count(*) FROM candidates").fetchone() == (3,)


def test_no_store_is_an_error_and_makes_none(tmp_path: Path):
    with pytest.raises(StoreError, match="`solon run CONFIG` makes one"):
        query_store(tmp_path / "none.duckdb", "SELECT 1")
    assert list(tmp_path.iterdir()) == []


def test_two_readers_of_one_process_are_served_at_once(filled: Store):
    """They share an instance whose settings the first has locked."""
    with reading(filled.files.database) as one, reading(filled.files.database) as other:
        for snapshot in (one, other):
            assert snapshot.query("SELECT count(*) FROM candidates").rows == [(2,)]
            with pytest.raises(QueryError):
                snapshot.query("SELECT * FROM read_text('/etc/passwd')")
