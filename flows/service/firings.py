"""Firings of a schedule that nobody served: skipped, or made up for by one run."""

from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled

from flows.service.deployments import LATE

RUNS_AT_ONCE = 200


def settle_late(deployment: UUID, *, is_catching_up: bool) -> tuple[int, bool]:
    """Cancel the scheduled runs of a deployment that are late by more than a minute.

    Only the process that serves the deployment may call this, before it serves.

    Args:
        deployment: Id of the deployment.
        is_catching_up: Keep the last of them, which then runs at once.

    Returns:
        How many were cancelled, and whether one was kept.
    """
    with get_client(sync_client=True) as client:
        late = _late_runs(client, deployment)
        kept = late[-1:] if is_catching_up else []
        skipped = late[: len(late) - len(kept)]
        for run in skipped:
            state: State[None] = Cancelled(message="skipped: nobody served the line at that time")
            client.set_flow_run_state(run.id, state, force=True)
        return len(skipped), bool(kept)


def _late_runs(client: SyncPrefectClient, deployment: UUID) -> list[FlowRun]:
    """Return the late runs in the order of their times."""
    late: list[FlowRun] = []
    wanted = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC) - LATE),
    )
    while True:
        page = client.read_flow_runs(
            flow_run_filter=wanted,
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=RUNS_AT_ONCE,
            offset=len(late),
        )
        late += page
        if len(page) < RUNS_AT_ONCE:
            return [run for run in late if run.auto_scheduled]
