"""What a worker checks before it starts: its server, its pool, and that it shares the artifacts."""

from pathlib import Path

import pytest

from flows.service.readiness import State
from flows.service.worker_checks import check_pool, check_sharing, pool_checks
from rlhf_core.records import ModelKind, ModelVersion
from rlhf_core.store import Store
from tests.flows.conftest import smoke


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
