"""One Prefect server for all flow tests, and one finished cycle of the smoke config."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_LOGGING_LEVEL,
    PREFECT_SERVER_ANALYTICS_ENABLED,
    temporary_settings,
)
from prefect.testing.utilities import prefect_test_harness

from flows.run import run_cycles
from rlhf_core.config import Config, load_config
from rlhf_core.identity import content_id
from tests.conftest import ROOT
from tests.fake_vllm import serve_here

SMOKE = str(ROOT / "deploy" / "configs" / "smoke.yaml")


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of a `solon` process of its own: a Prefect home that is not the user's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "SOLON__"))}
    home = str(tmp_path_factory.mktemp("prefect"))
    # Two models that train at once on two cores wait for each other most of the time.
    return {**kept, "PREFECT_HOME": home, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Address of a real server on loopback, with a database of its own."""
    settings = {
        PREFECT_LOGGING_LEVEL: "CRITICAL",
        PREFECT_SERVER_ANALYTICS_ENABLED: False,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
    }
    with temporary_settings(settings), prefect_test_harness(server_startup_timeout=90):
        yield str(PREFECT_API_URL.value())


def places(folder: Path) -> list[str]:
    """Options that give the smoke config a store of its own, whatever the working directory."""
    prompts = ROOT / "deploy" / "prompts" / "default.jsonl"
    chosen = [f"store={folder / 'solon.duckdb'}", f"artifacts={folder / 'artifacts'}"]
    return [word for place in (*chosen, f"prompts.path={prompts}") for word in ("--set", place)]


def smoke(folder: Path, *overrides: str) -> Config:
    """Return the smoke config with its store in a folder; overrides give it another line name."""
    name = [f"name=smoke-{content_id(overrides)[:8]}"] if overrides else []
    return load_config(SMOKE, [*places(folder)[1::2], *name, *overrides], environment={})


STARTS_VLLM = "sampling.engine={kind: vllm, python: /opt/vllm/bin/python}"


@pytest.fixture
def vllm_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a server that samples as Solon does stand in for the one that Solon would start."""
    monkeypatch.setattr("flows.service.vllm_process.vllm_server", serve_here)


@pytest.fixture(scope="session")
def finished(server: str, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A smoke config whose first cycle has ended. Tests read it, and write only to a copy.

    All pytest-xdist workers share it: for later ones nothing is missing.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    config = smoke(folder / "finished")
    with FileLock(folder / "finished.lock"):
        run_cycles(config, 1, is_quiet=True)
    return config
