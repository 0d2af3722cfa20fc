"""A line of several cycles of the smoke config."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from flows.run import run_cycles
from rlhf_core.config import Config
from tests.flows.conftest import smoke

WINS = ("promotion.win_rate_above=0", "promotion.min_eos_rate=0", "promotion.max_kl=1000")
LOSES = ("promotion.win_rate_above=1", *WINS[1:])


def line_in(folder: Path, *overrides: str) -> Config:
    """Return the smoke config of the line `kept`, with its store in a folder."""
    return smoke(folder, "name=kept", *overrides)


@pytest.fixture(scope="session")
def long_line(server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a line whose cycles were promoted, refused, refused, promoted and refused."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with FileLock(folder / "long_line.lock"):
        for cycle, outcome in enumerate((WINS, LOSES, LOSES, WINS, LOSES), start=1):
            run_cycles(line_in(folder / "long_line", *outcome), cycle, is_quiet=True)
    return folder / "long_line"
