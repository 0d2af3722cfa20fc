"""Fixtures of all tests: no network but loopback, a tiny model, a store, hand-made records."""

import atexit
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # workers that each spin on all cores wait for each other

from flows.cli.main import silence_finalization
from rlhf_core.endpoints import shared_times
from rlhf_core.endpoints.profile import forget_profiles
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.device import Compute
from rlhf_core.models.trunk import Trunk
from rlhf_core.store import Store, database
from rlhf_core.store.disk.files import StoreFiles, prepare_folder

atexit.register(silence_finalization)

ROOT = Path(__file__).parent.parent
FP32 = Compute(torch.device("cpu"), torch.float32, 2048, "in tests")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
SLOW_SECONDS = 3600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests a longer time limit than that of pyproject.toml."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose package comes with the extra dev-slow alone, where it is not installed."""
    for mark in item.iter_markers("extra"):
        if find_spec(mark.args[0]) is None:
            pytest.skip(f"needs {mark.args[0]}: pip install -e '.[dev-slow]', or make test-slow")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that would leave this machine fails where it tries."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if self.family != socket.AF_UNIX and isinstance(address, tuple):
            assert address[0] in LOOPBACK, f"a test tried to reach {address}"
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def _servers_are_new(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Forget servers of earlier tests, of which a later one may have the port."""
    forget_profiles()
    folder = tmp_path_factory.getbasetemp() / f"pace-{uuid.uuid4().hex}"
    monkeypatch.setattr(shared_times, "cache_folder", lambda: folder)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def new_trunk() -> Callable[[], Trunk]:
    """Makes trunks of the tiny random model, all the same."""
    return lambda: open_trunk("tiny-random", FP32, lora=4)


@pytest.fixture
def new_full_trunk() -> Callable[[], Trunk]:
    """The same with full parameters for each role."""
    return lambda: open_trunk("tiny-random", FP32, lora=None)


@pytest.fixture
def trunk(new_trunk: Callable[[], Trunk]) -> Trunk:
    return new_trunk()


@pytest.fixture(scope="session")
def _empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without facts."""
    return Store(tmp_path_factory.mktemp("empty") / "solon.duckdb").files.database


@pytest.fixture(autouse=True)
def _stores_begin_as_copies(monkeypatch: pytest.MonkeyPatch, _empty_store: Path) -> None:
    """Begin new stores as copies of an empty one, since their schema takes 0.3 s to make."""

    def prepare(files: StoreFiles) -> None:
        prepare_folder(files)
        if not files.database.exists():
            copy = files.new_copy()
            shutil.copy(_empty_store, copy)
            with suppress(FileExistsError):
                files.database.hardlink_to(copy)
            copy.unlink()

    monkeypatch.setattr(database, "prepare_folder", prepare)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store" / "solon.duckdb", run_id="test")


@pytest.fixture
def in_root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Configs name their files from the project's root."""
    monkeypatch.chdir(ROOT)
    return ROOT
