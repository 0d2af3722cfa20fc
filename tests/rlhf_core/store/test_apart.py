"""Questions in a process of their own: answered as here, ended where they would not end."""

import os
import signal
import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rlhf_core.errors import QueryError, StoreError
from rlhf_core.store import Snapshot, Store
from rlhf_core.store.audit import apart
from rlhf_core.store.audit.apart import Apart
from tests.facts import candidate

# One string after the other, each made in one call that no interrupt reaches.
DEAF = "SELECT length(repeat('x' || range, 1000000000)) FROM range(90)"


def rows(snapshot: Snapshot, statement: str, timeout_seconds: float) -> list[tuple[Any, ...]]:
    return snapshot.query(statement, timeout_seconds=timeout_seconds).rows


def dies(snapshot: Snapshot) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store(tmp_path_factory.mktemp("apart") / "solon.duckdb")
    store.append([candidate("one", 0), candidate("two", 1)])
    store.publish()
    apart.prepare(__name__)
    return store.files.database


@pytest.fixture
def ask(database: Path) -> Callable[..., Any]:
    def asked(statement: str, timeout_seconds: float = 30.0) -> Any:
        question = partial(rows, statement=statement, timeout_seconds=timeout_seconds)
        return Apart(database, question, timeout_seconds).answer()

    return asked


def test_an_answer_comes_back_with_its_types(ask: Callable[..., Any]):
    (row,) = ask("SELECT count(*), 1.5::DECIMAL(3, 1), DATE '2026-11-24', [1] FROM candidates")
    assert row == (2, Decimal("1.5"), date(2026, 11, 24), [1])


def test_a_query_deaf_to_being_stopped_is_ended(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(apart, "GRACE_SECONDS", 0.2)
    started = time.monotonic()
    with pytest.raises(QueryError, match=r"longer than 0\.2 s and its process was ended"):
        ask(DEAF, 0.2)
    assert time.monotonic() - started < 10  # of more than a minute
    assert ask("SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM candidates",
        "COPY candidates TO '/tmp/out.csv'",
        "SELECT * FROM read_text('/etc/hostname')",
        "SET lock_configuration = false",
        "INSTALL httpfs",
        "SELECT 1; SELECT 2",
    ],
)
def test_what_is_refused_here_is_refused_there(ask: Callable[..., Any], statement: str):
    with pytest.raises(QueryError) as caught:
        ask(statement)
    assert "process" not in str(caught.value)


def test_an_answer_too_large_to_hand_over_is_an_error(ask: Callable[..., Any]):
    with pytest.raises(QueryError, match="more than the 64 that are shown"):
        ask("SELECT repeat('x', 70000000)")


def test_a_process_that_is_killed_is_an_error_and_not_a_wait(database: Path):
    with pytest.raises(QueryError, match="ended without an answer"):
        Apart(database, dies).answer()


def test_who_gives_up_ends_the_query(database: Path):
    question = partial(rows, statement=DEAF, timeout_seconds=60)
    asked: Apart[Any] = Apart(database, question)
    asked.end()
    with pytest.raises(QueryError, match="ended without an answer"):
        asked.answer()


def test_a_store_that_does_not_open_is_not_waited_for_for_ever(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(apart, "START_SECONDS", 0.0)
    with pytest.raises(StoreError, match="not open within 0 s"):
        ask("SELECT 1")


def test_no_store_is_the_same_error_as_here(tmp_path: Path):
    with pytest.raises(StoreError, match="no store at"):
        Apart(tmp_path / "none.duckdb", dies).answer()
