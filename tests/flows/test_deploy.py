"""Deployments on a real server: `solon deploy` and deploy/prefect.yaml register the same."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Schedule

from flows.deploy import deploy_line, remove_line
from flows.deployed import FLOWS
from flows.service import deployments
from flows.service.deployments import CPU, DEPLOYED, GPU, QUEUES
from flows.service.firings import settle_late
from rlhf_core.errors import ConfigError
from tests.conftest import ROOT
from tests.flows.conftest import SMOKE

YAML = ROOT / "deploy" / "prefect.yaml"

pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.chdir(ROOT)
    yield "deployed"
    remove_line("deployed")


def found(line: str) -> dict[str, DeploymentResponse]:
    """The deployments of a line, by flow."""
    there = {}
    with get_client(sync_client=True) as client:
        for each in DEPLOYED:
            try:
                there[each.flow] = client.read_deployment_by_name(f"{each.flow}/{line}")
            except ObjectNotFound:
                continue
    return there


def times(each: DeploymentSchedule) -> tuple[Any, ...]:
    return each.schedule, each.active


def told(each: DeploymentResponse) -> tuple[Any, ...]:
    """What a deployment says of its flow, without the config that it runs."""
    limit = each.global_concurrency_limit
    return (
        each.entrypoint,
        each.work_pool_name,
        each.work_queue_name,
        [times(schedule) for schedule in each.schedules],
        limit.limit if limit else None,
        each.concurrency_options,
        set(each.parameters),
    )


def test_every_flow_of_a_line_is_deployed_once_with_a_form(line: str):
    first = deploy_line(Path(SMOKE), [f"name={line}"])
    before = found(line)
    deploy_line(Path(SMOKE), [f"name={line}"])
    after = found(line)
    assert list(after) == [each.flow for each in DEPLOYED] == list(FLOWS)
    for flow, deployment in after.items():
        assert deployment.id == before[flow].id
        assert [s.id for s in deployment.schedules] == [s.id for s in before[flow].schedules], flow
        form = deployment.parameter_openapi_schema["properties"]
        assert all(field["description"] for field in form.values())
        assert form["overrides"]["type"] == "array"
    assert [when for each, when in first if each.flow in ("cycle", "stage")] == [
        "switched off",
        "when told or by event",
    ]
    assert remove_line(line) == list(FLOWS)
    assert found(line) == {}
    assert remove_line(line) == []


def test_the_queues_of_the_pools_put_evaluation_before_training_before_sampling(line: str):
    deploy_line(Path(SMOKE), [f"name={line}"])
    with get_client(sync_client=True) as client:
        for pool in (CPU, GPU):
            assert client.read_work_pool(pool).type == "process"
            queues = client.read_work_queues(work_pool_name=pool)
            ordered = sorted(queues, key=lambda queue: queue.priority or 0)
            assert tuple(q.name for q in ordered if q.name in QUEUES[pool]) == QUEUES[pool]


def test_a_name_of_another_config_is_refused(line: str, tmp_path: Path):
    deploy_line(Path(SMOKE), [f"name={line}"])
    other = tmp_path / "other.yaml"
    other.write_text(Path(SMOKE).read_text())
    with pytest.raises(ConfigError, match="already has a line named 'deployed', from"):
        deploy_line(other, [f"name={line}"])


def scheduled(deployment: UUID, state: str = "SCHEDULED") -> list[datetime]:
    """Times of the runs of a deployment that are in a state."""
    with get_client(sync_client=True) as client:
        reply = client.request(
            "POST",
            "/flow_runs/filter",
            json={
                "deployments": {"id": {"any_": [str(deployment)]}},
                "flow_runs": {"state": {"type": {"any_": [state]}}},
                "sort": "EXPECTED_START_TIME_ASC",
            },
        )
    return [datetime.fromisoformat(run["expected_start_time"]) for run in reply.json()]


@pytest.mark.parametrize("is_catching_up", [False, True])
def test_late_firings_are_skipped_unless_one_is_to_make_up_for_them(
    line: str, is_catching_up: bool
):
    """A deployment that is registered again neither doubles nor loses a firing."""
    minutely = Schedule(cron="* * * * *", timezone="UTC")
    deploy_line(Path(SMOKE), [f"name={line}"], minutely)
    feedback = found(line)["feedback"].id
    now = datetime.now(UTC)
    deployments.schedule_at_once(feedback, now - timedelta(minutes=9), is_kept=True)
    deploy_line(Path(SMOKE), [f"name={line}"], minutely)
    due = datetime.now(UTC) - deployments.LATE
    skipped, is_kept = settle_late(feedback, is_catching_up=is_catching_up)
    assert is_kept == is_catching_up
    assert skipped + is_kept >= 8
    left = scheduled(feedback)
    assert len(left) == len(set(left))
    assert len([time for time in left if time < due]) == is_catching_up
    assert len(scheduled(feedback, "CANCELLED")) == skipped
    ahead = [time for time in left if time > now]
    gaps = {after - before for before, after in pairwise(ahead)}
    assert gaps == {timedelta(minutes=1)}


@pytest.mark.slow
def test_prefect_yaml_deploys_what_solon_deploy_does_and_again(server: str, line: str):
    with get_client(sync_client=True) as client:
        deployments.create_pools(client)
    command = [str(Path(sys.executable).with_name("prefect")), "--no-prompt", "deploy", "--all"]
    command += ["--prefect-file", str(YAML.relative_to(ROOT))]
    environment = {**os.environ, "PREFECT_API_URL": server, "PYTHONPATH": str(ROOT)}
    for _ in range(2):
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
    deploy_line(Path(SMOKE), [f"name={line}"])
    ours, declared = found(line), found("default")
    try:
        assert {flow: told(each) for flow, each in declared.items()} == {
            flow: told(each) for flow, each in ours.items()
        }
    finally:
        remove_line("default")


def test_what_a_process_serves_no_longer_is_removed_and_what_workers_run_stays(line: str):
    """After `serve --stages` comes `serve`: nobody would run what the stages' schedules start."""
    for flow in ("feedback", "policy"):
        FLOWS[flow].to_deployment(line).apply()
    with get_client(sync_client=True) as client:
        deployments.create_pools(client)
    FLOWS["evaluate"].to_deployment(line, work_pool_name=CPU).apply()
    deployments.remove_served(line, {"policy"})
    assert set(found(line)) == {"policy", "evaluate"}


def test_prefect_yaml_schedules_either_the_stages_or_the_cycle():
    declared = yaml.safe_load(YAML.read_text())["deployments"]
    active = {
        each["entrypoint"].rpartition(".")[2]
        for each in declared
        if any(schedule.get("active", True) for schedule in each["schedules"])
    }
    assert "cycle" not in active
    assert {"feedback", "reward_model", "policy", "evaluate", "promote"} <= active
