"""Flow runs of dead processes are closed and free their slot; those of living ones are not."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import (
    ConcurrencyLimitConfig,
    ConcurrencyLimitStrategy,
    StateType,
)
from prefect.context import FlowRunContext
from prefect.events import emit_event
from prefect.events.filters import EventFilter, EventResourceFilter
from prefect.states import Pending, Running

from flows.service import janitor
from rlhf_core.errors import ConfigError
from tests.conftest import ROOT

HOLDS = """
import sys, time
from flows.service import janitor
with janitor._held(sys.argv[1], sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLON_CACHE", str(tmp_path))


def test_flows_that_run_bear_the_name_of_their_process(server: str):
    """And so do the flows that they run."""
    seen: list[set[str]] = []

    @flow(name="janitor-inner")
    def inner() -> None:
        seen.append(set(FlowRunContext.get().flow_run.tags))

    @flow(name="janitor-outer")
    def outer() -> None:
        inner()

    with janitor.owned():
        outer()
    ((tag,),) = seen
    assert tag.startswith(f"{janitor.TAG}{janitor._host()}/")
    assert janitor._is_dead(tag.rpartition("/")[2])


@contextmanager
def another_process(name: str, deployment: str = "") -> Iterator["subprocess.Popen[str]"]:
    """Which holds the lock of that name."""
    command = [sys.executable, "-c", HOLDS, name, deployment]
    holding = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert holding.stdout is not None
        assert holding.stdout.readline() == "held\n"
        yield holding
    finally:
        holding.kill()
        holding.communicate()


@flow(name="janitor-test")
def nothing() -> None:
    pass


def created(tag: str) -> UUID:
    """A flow run that is under way, with a tag."""
    with get_client(sync_client=True) as client:
        return client.create_flow_run(nothing, state=Running(), tags=[tag]).id


def state_of(run: UUID) -> str:
    with get_client(sync_client=True) as client:
        found = client.read_flow_run(run).state
    assert found is not None
    return found.type.value


def test_runs_of_a_killed_process_are_closed_and_no_others(server: str):
    """What another machine runs nobody here can know."""
    host = janitor._host()
    with another_process("a" * 32) as holding:
        ours = created(f"{janitor.TAG}{host}/{'a' * 32}")
        elsewhere = created(f"{janitor.TAG}elsewhere/{'b' * 32}")
        untagged = created("somebody else's")
        janitor.close_dead_runs()
        assert state_of(ours) == "RUNNING"
        holding.kill()
        holding.wait()
        assert janitor.close_dead_runs() == 1
    assert [state_of(run) for run in (ours, elsewhere, untagged)] == [
        "CRASHED",
        "RUNNING",
        "RUNNING",
    ]


def test_a_deployment_is_served_once_on_a_machine(tmp_path: Path):
    name = f"serve-{janitor.digest(b'here/line')[:32]}"
    with another_process(name, "line") as holding:
        with pytest.raises(ConfigError, match="line is served by another process"):
            janitor.only_server("line", "here").__enter__()
        with janitor.only_server("line", "another server"):
            pass
        holding.kill()
        holding.wait()
        with janitor.only_server("line", "here"):
            pass


@pytest.mark.parametrize("state", [Pending, Running])
def test_the_slot_of_a_dead_run_is_free_again(server: str, state: type):
    """Also where the server no longer knows whose it was, and counts it still."""
    deployment = nothing.to_deployment(
        f"slot-{state.__name__}",
        concurrency_limit=ConcurrencyLimitConfig(
            limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW
        ),
    ).apply()
    with get_client(sync_client=True) as client:
        dead = client.create_flow_run_from_deployment(deployment).id
        client.set_flow_run_state(dead, Pending())
        if state is Running:
            client.set_flow_run_state(dead, Running())
        refused = client.create_flow_run_from_deployment(deployment).id
        client.set_flow_run_state(refused, Pending())
        assert state_of(refused) == "CANCELLED"
        assert janitor.close_runs_of(deployment, "it is gone") == 1
        assert state_of(dead) == "CRASHED"
        limit = client.read_deployment(deployment).global_concurrency_limit
        assert limit is not None
        assert limit.active_slots == 0
        later = client.create_flow_run_from_deployment(deployment).id
        client.set_flow_run_state(later, Pending())
        assert state_of(later) == "PENDING"
        janitor.close_runs_of(deployment, "the test is over")


@pytest.mark.parametrize(("age", "state"), [(3600, StateType.CRASHED), (5, StateType.RUNNING)])
def test_a_run_of_another_machine_is_closed_once_its_heartbeats_stop(
    server: str, age: int, state: StateType
):
    run = created(f"{janitor.TAG}elsewhere/{uuid4().hex}")
    emit_event(
        event=janitor.HEARTBEAT,
        resource={"prefect.resource.id": f"prefect.flow-run.{run}"},
        occurred=datetime.now(UTC) - timedelta(seconds=age),
    )
    deadline = time.monotonic() + 60
    with get_client(sync_client=True) as client:
        wanted = EventFilter(resource=EventResourceFilter(id=[f"prefect.flow-run.{run}"]))
        while not any(
            e.event == janitor.HEARTBEAT for e in client.read_events(wanted, limit=50).events
        ):
            assert time.monotonic() < deadline
            time.sleep(0.2)
    janitor.close_dead_runs()
    assert state_of(run) == state


def test_a_run_of_another_machine_without_heartbeats_is_left_alone(server: str):
    """`solon run` sends none."""
    run = created(f"{janitor.TAG}elsewhere/{uuid4().hex}")
    janitor.close_dead_runs()
    assert state_of(run) == StateType.RUNNING
