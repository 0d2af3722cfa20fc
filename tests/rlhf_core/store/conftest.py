"""A store whose answers are known, made once and copied for each test; and empty lakes."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlhf_core.store import Store
from tests.rlhf_core.store.judged import judged
from tests.rlhf_core.store.lakes import Lake, Lakes, PostgreSQL, lake_libraries, postgresql


@pytest.fixture(scope="session")
def judged_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Store(tmp_path_factory.mktemp("judged") / "solon.duckdb", run_id="test")
    made.append(judged())
    return made.files.database


@pytest.fixture
def filled(judged_file: Path, tmp_path: Path) -> Store:
    (tmp_path / "store").mkdir()
    copied = shutil.copy(judged_file, tmp_path / "store" / "solon.duckdb")
    return Store(copied, run_id="test")


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lake_libraries(tmp_path_factory.mktemp("lake") / "libraries")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    with postgresql(tmp_path_factory.mktemp("postgresql")) as running:
        yield running


@pytest.fixture(scope="module")
def lakes(libraries: Path, server: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Lakes:
    return Lakes(libraries, server, tmp_path_factory.mktemp("rows"))


@pytest.fixture
def lake(lakes: Lakes) -> Lake:
    return lakes.new()
