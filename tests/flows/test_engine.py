"""The engine of a cycle: its settings, its identity, and a server that Solon starts."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from flows.cycle import versions
from flows.cycle.cycle import cycle_of
from flows.cycle.engine import describe_engine, open_engine
from flows.run import run_cycles
from flows.service.vllm_process import vllm_server
from rlhf_core.config.engine import EngineSettings
from rlhf_core.errors import ConfigError, EndpointError
from rlhf_core.records import RolloutRecord
from rlhf_core.sampling.sampler import LOCAL
from rlhf_core.store import Store
from tests.conftest import ROOT
from tests.flows.conftest import smoke

URL = "sampling.engine={kind: vllm, url: 'http://127.0.0.1:1'}"
HEALTHY = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def environment_with(folder: Path, program: str) -> EngineSettings:
    """Return settings whose Python runs that program instead of vLLM, with vLLM's arguments."""
    (folder / "program.py").write_text(program)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {folder / "program.py"} "$@"\n')
    python.chmod(0o755)
    return EngineSettings(kind="vllm", python=str(python), start_seconds=60)


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/health", timeout=2).close()
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "vllm"}, "needs either `url`"),
        ({"kind": "vllm", "url": "http://a", "python": "p"}, "needs either `url`"),
        ({"url": "http://a"}, "are for kind: vllm"),
        ({"kind": "vllm", "url": "http://a", "options": {"dtype": "bfloat16"}}, "set python"),
    ],
)
def test_settings_that_do_nothing_are_refused(changes: dict[str, Any], reason: str):
    with pytest.raises(ValidationError, match=reason):
        EngineSettings.model_validate(changes)


def test_full_weights_have_no_adapter_to_load(tmp_path: Path):
    with pytest.raises(ConfigError, match="a vLLM server is given the policy as an adapter"):
        smoke(tmp_path, URL, "policy.weights=full", "policy.lora_rank=null")


def test_the_engine_decides_candidates_and_policies_and_its_address_does_not(tmp_path: Path):
    local, remote = smoke(tmp_path, "name=one"), smoke(tmp_path, "name=one", URL)
    moved = smoke(tmp_path, "name=one", URL.replace("127.0.0.1:1", "127.0.0.1:2"))
    policies = [versions.policy(each, "sft", "rm", ["p"]).id for each in (local, remote, moved)]
    batches = [
        cycle_of(each, 1).batch("sft", each.sampling, 1).sampling for each in (local, remote, moved)
    ]
    for found in (policies, batches):
        assert found[0] != found[1] == found[2]
    assert versions.sft(local).id == versions.sft(remote).id
    with open_engine(cycle_of(local, 1), "sft") as sampler:
        assert sampler is LOCAL
    assert describe_engine(local) == ""
    assert "http://127.0.0.1:1" in describe_engine(remote)


def test_a_server_lives_as_long_as_the_block(tmp_path: Path):
    settings = environment_with(tmp_path, HEALTHY)
    with vllm_server(settings, tmp_path, 16, tmp_path / "logs" / "log") as url:
        assert answers(url)
    assert not answers(url)


def test_a_server_that_ends_says_why(tmp_path: Path):
    settings = environment_with(
        tmp_path, "import sys; print(sys.argv); raise ValueError('no such model')"
    )
    log = tmp_path / "log"
    with (
        pytest.raises(EndpointError, match=r"ended while it started \(ValueError: no such model\)"),
        vllm_server(settings.model_copy(update={"sleep": True}), tmp_path, 20, log),
    ):
        pass
    said = log.read_text()
    for option in ("'--max-lora-rank', '32'", "'--enable-lora'", "'--enable-sleep-mode'"):
        assert option in said


def test_an_environment_that_is_missing_is_an_error(tmp_path: Path):
    settings = EngineSettings(kind="vllm", python=str(tmp_path / "python"))
    with (
        pytest.raises(ConfigError, match="there is no"),
        vllm_server(settings, tmp_path, 16, tmp_path / "log"),
    ):
        pass


KILLED = """
import sys, time
from pathlib import Path
from flows.service.vllm_process import vllm_server
from rlhf_core.config.engine import EngineSettings
folder = Path(sys.argv[1])
settings = EngineSettings(kind="vllm", python=str(folder / "python"), start_seconds=60)
with vllm_server(settings, folder, 16, folder / "log") as url:
    print(url, flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_server_ends_with_a_process_that_is_killed(tmp_path: Path):
    environment_with(tmp_path, HEALTHY)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout
        url = parent.stdout.readline().strip()
        assert answers(url)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while answers(url) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not answers(url)


@pytest.mark.slow
def test_a_cycle_samples_on_servers_that_it_starts(tmp_path: Path, server: str):
    """The servers sample as Solon does, so the policy is the one of a cycle without them."""
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tests.fake_vllm "$@"\n'
    )
    python.chmod(0o755)
    shared = ("name=one", "policy.lora_rank=8", "compute.precision=fp32")
    engine = f"sampling.engine={{kind: vllm, python: {python}, importance_cap: null}}"
    metrics, texts = [], []
    for folder, own in (("local", ()), ("remote", (engine,))):
        config = smoke(tmp_path / folder, *shared, *own)
        run_cycles(config, 1, is_quiet=True)
        store = Store(config.store)
        rows = store.rows(RolloutRecord)
        texts.append(sorted((row.step, row.row, row.text) for row in rows))
        engines = {row.engine for row in rows}
        assert engines == {"vllm 0.0.fake" if own else "local"}
        found = store.query("SELECT name, step, value FROM metrics WHERE model_id LIKE 'policy-%'")
        metrics.append({(row["name"], row["step"]): row["value"] for row in found})
    assert texts[0] == texts[1]
    assert metrics[0].keys() == metrics[1].keys()
    for key in metrics[0]:
        assert metrics[1][key] == pytest.approx(metrics[0][key], abs=1e-4), key
    left = [path.name for path in (tmp_path / "remote" / "artifacts" / "engine").iterdir()]
    assert left == ["vllm-one.log"]
