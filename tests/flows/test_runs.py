"""What runs are called on a real server, and that a line's name is taken there once."""

import time
from pathlib import Path
from typing import get_args

import pytest
from prefect import task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowFilter,
    FlowFilterName,
)

from flows.cycle.cycle import Cycle
from flows.cycle.flow_runs import cycle_flow, link_report
from flows.deployed import FLOWS, StageName, run_group
from flows.pipeline import STAGES, pipeline
from flows.service import events
from flows.service.deployments import refuse_taken_name
from rlhf_core.errors import ConfigError, InputError
from tests.flows.conftest import smoke

PATIENCE_SECONDS = 60

pytestmark = pytest.mark.usefixtures("server")


@task
def work() -> None:
    pass


@cycle_flow("tried")
def tried(cycle: Cycle) -> int:
    work()
    link_report(cycle, "refused; it lost", "file:///reports/cycle-3.html")
    return cycle.number


def test_runs_are_named_and_tagged_and_link_the_report(tmp_path: Path):
    cycle = Cycle(config=smoke(tmp_path, "name=My.line_1"), number=3, run_id="r")
    assert tried(cycle) == 3
    with get_client(sync_client=True) as client:
        named = FlowFilter(name=FlowFilterName(any_=["stage-tried"]))
        (run,) = client.read_flow_runs(flow_filter=named)
        assert run.name == "My.line_1 cycle 3 tried"
        assert set(run.tags) == {"My.line_1", "cycle 3", "run r", "tried"}
        deadline = time.monotonic() + PATIENCE_SECONDS  # task runs are written from events
        while not (tasks := client.read_task_runs(flow_filter=named)):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        (worked,) = tasks
        assert set(worked.tags) == set(run.tags)
        key = ArtifactFilterKey(any_=["report-my-line-1"])
        (found,) = client.read_artifacts(artifact_filter=ArtifactFilter(key=key))
        assert found.flow_run_id == run.id
        assert found.data == (
            "**My.line_1, cycle 3: refused; it lost**\n\n[report](file:///reports/cycle-3.html)"
        )


def test_every_stage_is_a_flow_whose_name_no_deployed_flow_has():
    """Prefect's page and a worker's queries find flow runs by the names of their flows."""
    assert [stage.name for stage in STAGES[-4:-2]] == ["train_policy", "evaluate"]
    names = {stage._flow.name for stage in (*STAGES, pipeline)}
    assert len(names) == len(STAGES) + 1
    assert names.isdisjoint(FLOWS)


def test_the_form_of_a_single_stage_offers_all_of_them():
    assert get_args(StageName) == tuple(stage.name for stage in STAGES)


def test_a_run_that_fails_before_its_first_stage_is_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As after an edit that broke the config: no stage can tell anybody."""
    told: list[tuple[object, ...]] = []
    monkeypatch.setattr(events, "announce_failure", lambda *facts: told.append(facts))
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__NAME", "my-line")
    with pytest.raises(InputError) as failed:
        run_group("feedback", str(tmp_path / "none.yaml"), [])
    assert told == [("my-line", 0, "feedback", failed.value)]


def test_a_name_that_another_config_has_on_the_server_is_refused():
    with get_client(sync_client=True) as client:

        def refuse(line: str, config: str) -> None:
            refuse_taken_name(client, line, config, ["feedback", "cycle"])

        refuse("nobody-yet", "/a/config.yaml")
        known = client.create_flow(FLOWS["cycle"])
        client.create_deployment(
            known, "taken", parameters={"config": "/a/config.yaml", "overrides": []}
        )
        refuse("taken", "/a/config.yaml")
        with pytest.raises(ConfigError) as refused:
            refuse("taken", "/b/config.yaml")
    for words in ("'taken', from /a/config.yaml", "/b/config.yaml a `name`", "--remove"):
        assert words in str(refused.value)
