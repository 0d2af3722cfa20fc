"""The flow runs and automations of a policy line, as a Prefect server tells them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from flows.reports.status import AutomationState, RunState, ServerStatus
from flows.service.automations import registered

RUNS_SHOWN = 50
FAILED_SINCE = timedelta(days=2)
LATE = timedelta(seconds=30)
"""A run that should have begun this long ago waits for a worker or a slot."""
REQUEST_SECONDS = 5.0


def server_status(address: str, line: str) -> ServerStatus:
    """Return what a Prefect server knows of a line; it must be the server that Prefect is set to.

    Args:
        address: Address of its API, to show.
        line: Name of the policy line.
    """
    try:
        with get_client(sync_client=True, httpx_settings={"timeout": REQUEST_SECONDS}) as client:
            return _read(client, address, line)
    except httpx.HTTPError as error:
        return ServerStatus(address, f"{type(error).__name__}: {error}".removesuffix(": "))


def _read(client: SyncPrefectClient, address: str, line: str) -> ServerStatus:
    deployed = _Deployed(client, line)
    now = datetime.now(UTC)
    running = deployed.runs(StateType.RUNNING, StateType.PENDING, StateType.CANCELLING)
    scheduled = deployed.runs(StateType.SCHEDULED, StateType.PAUSED)
    late = [each for each in scheduled if _waits(each, now)]
    ahead = [each for each in scheduled if not _waits(each, now)]
    return ServerStatus(
        address,
        running=deployed.states(running),
        waiting=deployed.states(late),
        failed=deployed.states(_last_failures(deployed, now)),
        upcoming=deployed.states(_first_of_each(ahead)),
        automations=tuple(
            AutomationState(name, is_enabled) for name, is_enabled in registered(line).items()
        ),
    )


def _waits(run: FlowRun, now: datetime) -> bool:
    """Return True if a run should have begun, or waits for a slot or a person."""
    is_plain = run.state is not None and run.state.name in ("Scheduled", "Late")
    expected = run.expected_start_time
    return not is_plain or (expected is not None and expected < now - LATE)


def _last_failures(deployed: "_Deployed", now: datetime) -> list[FlowRun]:
    """Return the last run of each flow if it failed lately."""
    ended = deployed.runs(
        StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED
    )
    last: dict[UUID | None, FlowRun] = {}
    for run in ended:  # newest first
        last.setdefault(run.deployment_id, run)
    return [
        run
        for run in last.values()
        if run.state_type in (StateType.FAILED, StateType.CRASHED)
        and _since(run) > now - FAILED_SINCE
    ]


def _first_of_each(runs: Sequence[FlowRun]) -> list[FlowRun]:
    first: dict[UUID | None, FlowRun] = {}
    for run in sorted(runs, key=_since):
        first.setdefault(run.deployment_id, run)
    return list(first.values())


def _since(run: FlowRun) -> datetime:
    """Return when a run began, ended or shall begin."""
    moment: Any = run.end_time or run.start_time or run.expected_start_time or run.created
    assert moment is not None, "the server gives every run a time"
    return datetime.fromtimestamp(moment.timestamp(), UTC)


class _Deployed:
    """The deployments of a line, each with the name of its flow."""

    def __init__(self, client: SyncPrefectClient, line: str) -> None:
        self._client = client
        self._filter = DeploymentFilter(name=DeploymentFilterName(any_=[line]))
        self._flows = {
            each.id: client.read_flow(each.flow_id).name
            for each in client.read_deployments(deployment_filter=self._filter)
        }

    def runs(self, *states: StateType) -> list[FlowRun]:
        """Return the runs of the line in some states: those to come earliest first, else newest."""
        if not self._flows:
            return []
        is_ahead = StateType.SCHEDULED in states
        return self._client.read_flow_runs(
            deployment_filter=self._filter,
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states)))
            ),
            sort=(
                FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC
                if is_ahead
                else FlowRunSort.START_TIME_DESC
            ),
            limit=RUNS_SHOWN,
        )

    def states(self, runs: Sequence[FlowRun]) -> tuple[RunState, ...]:
        return tuple(
            RunState(
                flow=self._flows.get(run.deployment_id, "") if run.deployment_id else "",
                state=(run.state.name if run.state else None) or "Unknown",
                since=_since(run),
                message=" ".join(((run.state.message if run.state else None) or "").split()),
            )
            for run in runs
        )
