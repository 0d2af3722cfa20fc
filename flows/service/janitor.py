"""Closing flow runs whose process is dead, so that they do not block a schedule's only slot.

A process that is killed tells Prefect nothing, so its flow runs stay pending or running for ever.
Every process that runs flows therefore locks a file of its own, and its runs carry the file's name
as a tag. The next process to start closes the runs whose lock is free. No clocks and no process ids
are compared, because both can repeat.

A lock says nothing about processes of other machines. Their runs are closed once they have sent
heartbeats and then none for many minutes.
"""

import fcntl
import logging
import os
import socket
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from prefect import tags
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from rlhf_core.errors import ConfigError
from rlhf_core.identity import digest

logger = logging.getLogger(__name__)

TAG = "solon-process:"
UNDER_WAY = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
RUNS_AT_ONCE = 200
SOON_SECONDS = 1.0
"""Time for one answer of a server to a process that was told to stop."""
HEARTBEAT = "prefect.flow-run.heartbeat"
SILENT_SECONDS = 600.0
"""More than three times the longest interval between heartbeats, which is Prefect's default."""


@contextmanager
def owned() -> Iterator[None]:
    """Tag the flow runs that start within as this process's, and hold its lock."""
    name = uuid.uuid4().hex
    with _held(name), tags(f"{TAG}{_host()}/{name}"):
        yield


@contextmanager
def only_server(deployment: str, where: str) -> Iterator[None]:
    """Be the only process on this machine that serves a deployment.

    Args:
        deployment: Name of the deployment.
        where: The server that holds it.

    Raises:
        ConfigError: If another process serves it.
    """
    with _held(f"serve-{digest(f'{where}/{deployment}'.encode())[:32]}", deployment):
        yield


def close_dead_runs() -> int:
    """Close the flow runs that dead processes left open, on any machine, and return how many."""
    with get_client(sync_client=True) as client:
        runs = _under_way(client)
        dead = [run for run in runs if _is_of_the_dead(run)]
        silent = [run for run in runs if run not in dead and _is_silent(client, run)]
        return _close(client, dead, "its process is gone") + _close(
            client, silent, f"no heartbeat for {SILENT_SECONDS / 60:.0f} minutes"
        )


def close_runs_of(deployment: UUID, reason: str) -> int:
    """Close every open run of a deployment, and free its slot.

    Only the process that serves the deployment may call this, while none of its runs has a process.

    Args:
        deployment: Id of the deployment.
        reason: Message of the runs' final state.

    Returns:
        Number of runs closed.
    """
    with get_client(sync_client=True) as client:
        closed = _close(client, _under_way(client, deployment), reason)
        limit = client.read_deployment(deployment).global_concurrency_limit
        # A server that was killed has lost the slot's holder, and still counts the slot.
        if limit is not None and limit.active_slots:
            client.update_global_concurrency_limit(
                limit.name, GlobalConcurrencyLimitUpdate(active_slots=0)
            )
        return closed


def close_runs(runs: Collection[UUID], reason: str) -> None:
    """Close those of some runs that are open, if the server answers soon.

    Args:
        runs: Ids of runs whose processes have ended.
        reason: Message of the runs' final state.
    """
    with get_client(sync_client=True, httpx_settings={"timeout": SOON_SECONDS}) as client:
        open_runs = [run for run in map(client.read_flow_run, runs) if run.state_type in UNDER_WAY]
        _close(client, open_runs, reason)


def _under_way(client: SyncPrefectClient, deployment: UUID | None = None) -> list[FlowRun]:
    """Return the runs that have started and not ended."""
    runs: list[FlowRun] = []
    while True:
        page = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(UNDER_WAY)))
            ),
            deployment_filter=(
                DeploymentFilter(id=DeploymentFilterId(any_=[deployment])) if deployment else None
            ),
            limit=RUNS_AT_ONCE,
            offset=len(runs),
        )
        runs += page
        if len(page) < RUNS_AT_ONCE:
            return runs


def _close(client: SyncPrefectClient, runs: Sequence[FlowRun], reason: str) -> int:
    for run in runs:
        with suppress(ObjectNotFound):  # somebody deleted it meanwhile
            client.set_flow_run_state(run.id, Crashed(message=reason), force=True)
    return len(runs)


def _is_of_the_dead(run: FlowRun) -> bool:
    prefix = f"{TAG}{_host()}/"
    return any(_is_dead(tag.removeprefix(prefix)) for tag in run.tags if tag.startswith(prefix))


def _is_silent(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Return True if a run of another machine has sent heartbeats, and none of late."""
    if not any(tag.startswith(TAG) for tag in run.tags) or any(
        tag.startswith(f"{TAG}{_host()}/") for tag in run.tags
    ):
        return False
    page = client.read_events(
        EventFilter(
            event=EventNameFilter(name=[HEARTBEAT]),
            resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
        ),
        limit=1,
    )
    age = timedelta(seconds=SILENT_SECONDS)
    return bool(page.events) and datetime.now(UTC) - page.events[0].occurred > age


def _host() -> str:
    return socket.gethostname()


def _folder() -> Path:
    return Path(os.environ.get("SOLON_CACHE") or Path.home() / ".cache" / "solon") / "processes"


@contextmanager
def _held(name: str, deployment: str = "") -> Iterator[None]:
    """Hold the lock of that name until the block or the process ends."""
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{deployment} is served by another process of this machine already; stop that "
                "one first"
            ) from None
        yield
    finally:
        if not deployment:  # nobody else ever takes that name
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _is_dead(name: str) -> bool:
    """Return True if no process holds the lock of that name; then remove its file."""
    path = _folder() / Path(name).name
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
