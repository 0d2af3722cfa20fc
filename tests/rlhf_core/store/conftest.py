"""A store whose answers are known: made once, and copied for each test."""

import shutil
from pathlib import Path

import pytest

from rlhf_core.store import Store
from tests.rlhf_core.store.judged import judged


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
