"""`solon doctor` finds what would fail, names the mend, and changes nothing."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from flows.monitoring import diagnosis
from flows.monitoring.diagnosis import (
    check_endpoint,
    check_gpu,
    check_policy_model,
    check_pools,
)
from flows.service import readiness
from flows.service.deployments import create_pools
from flows.service.readiness import (
    Check,
    State,
    check_keys,
    check_open_files,
    check_space,
    check_store,
    check_versions,
    remote_models,
)
from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.store import Store
from tests.conftest import ROOT
from tests.flows.conftest import SMOKE, places, smoke
from tests.flows.test_cli import call


def test_a_machine_that_works_is_told_so_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert call(monkeypatch, "doctor", SMOKE, *places(tmp_path), "--json") == 0
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    wanted = {"config", "versions", "store", "artifacts", "open files", "ports", "GPU"}
    assert wanted | {"policy model", "judge similarity", "judge verifier"} <= set(checks)
    assert {check["state"] for check in checks.values()} <= {"ok", "note"}
    assert not list(tmp_path.iterdir())


def test_a_wrong_config_is_wrong_and_the_machine_is_checked_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert call(monkeypatch, "doctor", SMOKE, "--set", "trainng.steps=1") == 1
    shown = capsys.readouterr().out
    assert "unknown key 'trainng'\n       → did you mean" in shown
    assert "ok     versions: python" in shown


def test_each_pin_of_the_project_is_held(monkeypatch: pytest.MonkeyPatch):
    assert check_versions().state is State.OK
    real = readiness.metadata.version
    monkeypatch.setattr(
        readiness.metadata, "version", lambda name: "2.1.0" if name == "sqlalchemy" else real(name)
    )
    check = check_versions()
    assert check.state is State.WRONG
    assert "sqlalchemy 2.1.0 is not" in check.found
    assert "pip install -c deploy/constraints.txt" in check.mend


def test_the_holder_of_the_stores_lock_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(readiness, "STORE_TIMEOUT_SECONDS", 0.2)
    config = smoke(tmp_path)
    assert "not there yet" in check_store(config).found
    Store(config.store)
    assert "schema 1, readable by DuckDB v1.4.0" in check_store(config).found
    script = (
        "import sys\nfrom rlhf_core.store.disk.files import StoreFiles, lock_store\n"
        "with lock_store(StoreFiles.at(sys.argv[1]), 5):\n    print(flush=True)\n    input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(config.store)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        check = check_store(config)
        holder.kill()
    assert check.state is State.NOTE
    assert f"held by process {holder.pid} (" in check.found


def test_a_store_of_a_newer_version_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = smoke(tmp_path)
    Store(config.store)
    from rlhf_core.store import examination

    monkeypatch.setattr(examination, "newest_migration", lambda connection: 999)
    assert "has schema 999, and this version knows" in check_store(config).found


def test_a_full_disk_and_a_low_limit_are_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, 4096))
    assert check_open_files().state is State.WRONG
    monkeypatch.setattr(readiness, "LEAST_FREE_GIB", 10**9)
    assert check_space("artifacts", tmp_path / "not" / "there").state is State.WRONG


def test_keys_are_told_by_name_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    endpoint = EndpointSettings(model="gpt", headers={"X-Team": "TEAM_TOKEN"})
    missing = check_keys(endpoint)
    assert (missing.state, missing.found) == (State.WRONG, "not set: TEAM_TOKEN, OPENAI_API_KEY")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("TEAM_TOKEN", "secret")
    present = check_keys(endpoint)
    assert present.state is State.OK
    assert "secret" not in str(present)


def test_remote_models_are_found_wherever_a_config_names_them(tmp_path: Path):
    judge = "{kind: pairwise, model: 'openai:judge', base_url: 'http://127.0.0.1:1/v1'}"
    config = smoke(
        tmp_path,
        f"judges=[{judge}, {{kind: similarity}}]",
        "sampling.endpoint={model: sampler, base_url: 'http://127.0.0.1:1/v1'}",
        "revision={endpoint: {model: reviser}}",
    )
    names = [endpoint.model for endpoint in remote_models(config)]
    assert names == ["sampler", "reviser", "judge"]


@contextmanager
def answering(date: str | None = None) -> Iterator[str]:
    """A server that asks for a key; it may live in another time."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return date or super().date_time_string()

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


def test_a_server_that_is_up_or_down_or_in_another_time_is_told_apart():
    def check(address: str) -> Check:
        return check_endpoint(EndpointSettings(model="m", base_url=address))

    with answering() as address:
        assert check(address).found.endswith("answers (HTTP 401)")
    with answering("Wed, 21 Oct 2015 07:28:00 GMT") as past:
        assert "clock and this one differ by -" in check(past).found
    down = check(address)
    assert down.state is State.WRONG
    assert "refused" in down.found


def test_a_device_that_is_not_there_is_wrong(monkeypatch: pytest.MonkeyPatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(diagnosis, "_driver", lambda: "")
    assert check_gpu("auto").state is State.OK
    assert check_gpu("cuda:1").state is State.WRONG
    monkeypatch.setattr(diagnosis, "_driver", lambda: "NVIDIA driver 550.1")
    assert "PyTorch" in check_gpu("auto").found


def test_weights_that_are_cut_off_are_wrong(tmp_path: Path):
    from rlhf_core.models.artifacts import open_trunk, save_merged
    from rlhf_core.models.trunk import Role
    from tests.conftest import FP32

    folder = tmp_path / "model"
    save_merged(open_trunk("tiny-random", FP32, lora=None), Role.REFERENCE, folder)
    config = smoke(tmp_path, f"policy.model={folder}")
    assert check_policy_model(config).state is State.OK
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    check = check_policy_model(config)
    assert check.state is State.WRONG
    assert "missing or cut off" in check.found


def test_the_server_its_clock_and_pools_are_checked(server: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PREFECT_API_URL", server)
    checks = {check.name: check for check in diagnosis._server_checks(expects_workers=False)}
    assert set(checks) == {"Prefect server", "clock"}
    assert {check.state for check in checks.values()} == {State.OK}


def test_a_pool_without_a_worker_is_wrong(server: str):
    with get_client(sync_client=True) as client:
        create_pools(client)
        check = check_pools(client)
    assert check.state is State.WRONG
    assert check.mend.startswith("start a worker: `solon worker --pool solon-")
