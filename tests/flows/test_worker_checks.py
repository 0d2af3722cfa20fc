"""What a worker checks before it starts: its server, its pool, and that it shares the artifacts."""

from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import get_client

from flows.service.deployments import create_pools
from flows.service.readiness import State
from flows.service.worker_checks import check_pool, check_sharing, pool_checks
from rlhf_core.records import ModelKind, ModelVersion
from rlhf_core.store import Store
from tests.flows.conftest import SMOKE, smoke
from tests.flows.test_cli import call


def test_an_artifacts_folder_that_others_do_not_share_is_wrong(tmp_path: Path):
    config = smoke(tmp_path)
    assert check_sharing(config).state is State.OK
    model = ModelVersion(kind=ModelKind.POLICY, base="b", recipe="{}", config_hash="c")
    Store(config.store).append([model])
    check = check_sharing(config)
    assert check.state is State.WRONG
    assert "holds none of the newest models" in check.found
    (config.artifacts / "models" / model.id).mkdir(parents=True)
    assert "1 of the 1 newest models" in check_sharing(config).found


def test_a_worker_needs_the_address_of_a_server(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    (check,) = pool_checks("solon-cpu", needs_gpu=False)
    assert check.state is State.WRONG
    assert "such as http" in check.mend


def test_a_pool_that_is_not_there_is_wrong(server: str):
    check = check_pool("solon-none")
    assert check.state is State.WRONG
    assert check.mend == "prefect work-pool create solon-none --type process"


def test_the_first_worker_of_a_pool_may_start(
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """The server tells of its pool that it has no worker, which is what this one mends."""
    monkeypatch.setenv("PREFECT_API_URL", server)
    with get_client(sync_client=True) as client:
        create_pools(client)
    settings = yaml.safe_load(Path(SMOKE).read_text())
    settings |= {"store": str(tmp_path / "solon.duckdb"), "artifacts": str(tmp_path / "artifacts")}
    config = tmp_path / "my.yaml"
    config.write_text(yaml.safe_dump(settings))
    options = ("--pool", "solon-cpu", "--config", str(config), "--only-check")
    assert call(monkeypatch, "worker", *options) == 0, capsys.readouterr().out
