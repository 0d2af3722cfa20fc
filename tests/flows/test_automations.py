"""Automations on a real Prefect server: they start flows, tell people, and close dead runs."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import AwaitingConcurrencySlot, Completed, Pending, Running

from flows.deploy import deploy_line
from flows.service import automations
from flows.service.automations import register, registered, remove
from flows.service.prefect_server import prefect_server
from rlhf_core.config import Config, load_config
from rlhf_core.errors import ConfigError
from rlhf_core.records import TriggerFiring
from tests.conftest import ROOT
from tests.flows.conftest import SMOKE, smoke
from tests.flows.line_facts import Line

pytestmark = pytest.mark.slow
PATIENCE_SECONDS = 240
FLOWS = ("feedback", "reward-model", "policy", "evaluate", "promote")
CHAINED = ["evaluate after policy", "policy after reward-model", "promote after evaluate"]
CLOSING = ("close runs that did not start", "close runs without heartbeat")
QUICK = {
    "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT2S",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with all its services, which this process and its children use."""
    home = {"PREFECT_HOME": str(tmp_path_factory.mktemp("prefect")), **QUICK}
    before = {name: os.environ.get(name) for name in (*home, "PREFECT_API_URL", "SOLON_CACHE")}
    os.environ |= {**home, "SOLON_CACHE": str(tmp_path_factory.mktemp("cache"))}
    os.environ.pop("PREFECT_API_URL", None)
    try:
        with prefect_server(has_page=True) as server:
            server.wait()
            with temporary_settings({PREFECT_API_URL: server.address}):
                yield server.address
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def deployed(config: Config) -> dict[str, Any]:
    """Deploy flows of a line that nobody serves; return the ids of their deployments."""
    with get_client(sync_client=True) as client:
        return {
            flow: client.create_deployment(
                client.create_flow_from_name(flow), name=config.name, tags=[config.name]
            )
            for flow in FLOWS
        }


def emit(event: str, line: str, flow: str = "cycle", **facts: object) -> None:
    """Emit an event from a process of its own, as a stage does."""
    script = (
        "import json, sys\nfrom flows.service.events import Event, announce, running\n"
        "event, line, flow, facts = sys.argv[1:]\n"
        "with running(flow):\n    announce(Event(event), line, **json.loads(facts))\n"
    )
    command = [sys.executable, "-c", script, event, line, flow, json.dumps(facts)]
    subprocess.run(command, check=True, cwd=ROOT, timeout=PATIENCE_SECONDS)


def wait_for(wanted: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if found := wanted():
            return found
        time.sleep(0.5)
    raise AssertionError("it did not happen in time")


def runs_of(client: SyncPrefectClient, deployment: Any) -> list[FlowRun]:
    only = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
    return client.read_flow_runs(deployment_filter=only)


@contextmanager
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the address of an HTTP server and the JSON bodies that it received."""
    seen: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_automations_follow_the_config_and_go_again(address: str, tmp_path: Path):
    config = smoke(tmp_path, "service.triggers.new_pairs=2", "name=a")
    with pytest.raises(ConfigError, match=r"reward-model/a is not deployed.*solon deploy"):
        register(config, FLOWS)
    deployed(config)
    mine = [f"solon a: {name}" for name in sorted([*CHAINED, *CLOSING, "reward-model when due"])]
    assert sorted(register(config, FLOWS)) == mine
    assert sorted(register(config, FLOWS)) == mine
    assert registered("a") == dict.fromkeys(mine, True)
    prompts = smoke(tmp_path, "service.triggers.new_prompts=2", "name=a")
    register(prompts, FLOWS)
    expected = sorted([*CHAINED, *CLOSING, "feedback when prompts came"])
    assert list(registered("a")) == [f"solon a: {name}" for name in expected]
    assert register(prompts, ["cycle"]) == [f"solon a: {name}" for name in CLOSING]
    assert remove("a") == [f"solon a: {name}" for name in CLOSING]
    assert registered("a") == {}


def test_an_event_starts_the_next_flow_if_it_comes_from_the_flow_before(
    address: str, tmp_path: Path
):
    """A run of the whole cycle trains its policy itself."""
    config = smoke(tmp_path, "service.triggers.new_pairs=2", "name=b")
    ids = deployed(config)
    register(config, FLOWS)
    emit("solon.reward_model.trained", "b", "cycle")
    emit("solon.training.due", "b", "check")
    emit("solon.reward_model.trained", "b", "reward-model")
    emit("solon.reward_model.trained", "other", "reward-model")
    with get_client(sync_client=True) as client:
        (started,) = wait_for(lambda: runs_of(client, ids["policy"]))
        assert (started.idempotency_key or "").startswith("automation ")
        assert len(wait_for(lambda: runs_of(client, ids["reward-model"]))) == 1
        assert runs_of(client, ids["evaluate"]) == []


def test_enough_pairs_start_the_reward_model_by_themselves(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It counts again when it starts: another run has learnt from the pairs meanwhile."""
    monkeypatch.chdir(ROOT)
    path = tmp_path / "my.yaml"
    tree = yaml.safe_load(Path(SMOKE).read_text()) | {"name": "f"}
    tree |= {"store": str(tmp_path / "solon.duckdb"), "artifacts": str(tmp_path / "artifacts")}
    path.write_text(yaml.safe_dump({**tree, "service": {"triggers": {"new_pairs": 2}}}))
    deploy_line(path, [])
    line = Line(load_config(path, []))
    rankings = line.feedback("a", "b")
    for _ in range(2):
        script = f"from flows.triggers.check import check; check({str(path)!r}, [])"
        command = [sys.executable, "-c", script]
        subprocess.run(command, check=True, cwd=ROOT, timeout=PATIENCE_SECONDS)
    assert len(line.store.rows(TriggerFiring)) == 1
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("reward-model/f")

        def triggered() -> list[FlowRun]:
            runs = runs_of(client, deployment.id)
            return [run for run in runs if not run.auto_scheduled]

        (run,) = wait_for(triggered)
        line.reward_model(rankings)
        prefect = str(Path(sys.executable).with_name("prefect"))
        command = [prefect, "flow-run", "execute", str(run.id)]
        subprocess.run(command, check=True, cwd=ROOT, timeout=PATIENCE_SECONDS)
        state = client.read_flow_run(run.id).state
    assert state is not None
    assert (state.name, state.message) == ("NotDue", "not due: 0 of 2 new pairs")


def test_people_are_told_by_blocks_of_the_server(address: str, tmp_path: Path):
    with receiver() as (url, seen):
        CustomWebhookNotificationBlock(
            name="ops", url=url, json_data={"subject": "{{subject}}", "body": "{{body}}"}
        ).save("ops", overwrite=True)
        Webhook(url=url).save("hook", overwrite=True)
        told = "{block: custom-webhook/ops, events: [promotion]}"
        hooked = "{block: webhook/hook, events: [alarm]}"
        config = smoke(tmp_path, f"service.notify=[{told}, {hooked}]", "name=c")
        deployed(config)
        register(config, FLOWS)
        emit("solon.policy.promoted", "c", cycle=3, because='wins "all" <b>')
        emit("solon.policy.refused", "c", cycle=4)
        emit("solon.guard.alarm", "c", cycle=5, misled='a "judge"')
        wait_for(lambda: len(seen) == 2)
    news = next(each for each in seen if "subject" in each)
    assert news["subject"] == "Solon, line c: solon.policy.promoted"
    assert news["body"].splitlines() == ["cycle: 3", 'because: wins "all" <b>']
    hook = next(each for each in seen if "facts" in each)
    assert hook == {
        "line": "c",
        "event": "solon.guard.alarm",
        "facts": {"cycle": 5, "misled": 'a "judge"'},
    }


def test_a_missing_block_is_refused_with_how_to_make_it(address: str, tmp_path: Path):
    config = smoke(
        tmp_path, "service.notify=[{block: slack-webhook/none, events: [failure]}]", "name=d"
    )
    deployed(config)
    with pytest.raises(ConfigError, match=r"no block slack-webhook/none.*Blocks"):
        register(config, FLOWS)


def test_a_run_whose_heartbeats_stop_is_closed(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(automations, "SILENCE_SECONDS", 10)
    config = smoke(tmp_path, "name=e")
    ids = deployed(config)
    register(config, FLOWS)
    with get_client(sync_client=True) as client:
        run = client.create_flow_run_from_deployment(ids["policy"], state=Running())
        heartbeat = {
            "event": "prefect.flow-run.heartbeat",
            "resource": {"prefect.resource.id": f"prefect.flow-run.{run.id}"},
            "related": [{"prefect.resource.id": "prefect.tag.e", "prefect.resource.role": "tag"}],
        }
        send_event(client, heartbeat)
        wait_for(lambda: client.read_flow_run(run.id).state_type is StateType.CRASHED)
        state = client.read_flow_run(run.id).state
    assert state is not None
    assert "no heartbeat for 10 seconds" in (state.message or "")


def test_a_run_that_was_taken_and_did_not_start_is_closed(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its worker was killed before it started the process. What runs, ended or waits is left."""
    monkeypatch.setattr(automations, "START_SECONDS", 10)
    config = smoke(tmp_path, "name=g")
    ids = deployed(config)
    register(config, FLOWS)
    with get_client(sync_client=True) as client:

        def entered(*states: State[Any]) -> UUID:
            """A run that goes through these states."""
            run = client.create_flow_run_from_deployment(ids["policy"])
            for state in states:
                client.set_flow_run_state(run.id, state, force=True)
            return run.id

        submitting = Pending(name="Submitting")
        queued = AwaitingConcurrencySlot(scheduled_time=datetime.now(UTC) + timedelta(hours=1))
        left = {
            entered(Pending(), submitting, Running()): "Running",
            entered(Pending(), Running(name="Rerunning")): "Rerunning",
            entered(Pending(), Completed(name="Waiting")): "Waiting",
            entered(Pending(), queued): "AwaitingConcurrencySlot",
        }
        dead = [
            entered(Pending()),
            entered(Pending(), submitting),
            entered(Pending(), queued, Pending()),
        ]

        def states() -> list[State[Any] | None]:
            return [client.read_flow_run(run).state for run in dead]

        wait_for(lambda: all(state and state.type is StateType.CRASHED for state in states()))
        for state in states():
            assert state is not None
            assert "did not start within 10 seconds" in (state.message or "")
        for run, name in left.items():  # their time was over before that of the dead
            assert client.read_flow_run(run).state_name == name


def send_event(client: SyncPrefectClient, event: dict[str, Any]) -> None:
    from prefect.events import Event

    body = Event.model_validate({**event, "occurred": time.time()}).model_dump(mode="json")
    client.request("POST", "/events", json=[body]).raise_for_status()
