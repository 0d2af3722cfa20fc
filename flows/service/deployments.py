"""Deployments of a policy line: flows, work pools, queues, and when they run by default.

`deploy/prefect.yaml` declares the same for one config; a test compares the two.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.schedules import Schedule
from prefect.types.entrypoint import EntrypointType

from flows.service.automations import START_SECONDS, has_condition
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError

CPU, GPU = "solon-cpu", "solon-gpu"
POOL_TYPE = "process"
QUEUES = {CPU: ("default",), GPU: ("evaluation", "training", "sampling")}
"""Work queues of each pool; the first goes first."""
CYCLE, FIRST, CHECK, APPROVAL = "cycle", "feedback", "check", "approval"
LATE = timedelta(seconds=60)
"""A firing that nobody has served for longer is skipped."""


@dataclass(frozen=True)
class Deployed:
    """The default deployment of one flow."""

    flow: str
    pool: str
    queue: str
    cron: str | None = None
    is_active: bool = True
    """False deploys the schedule switched off."""
    strategy: ConcurrencyLimitStrategy = ConcurrencyLimitStrategy.ENQUEUE
    """Reaction to a run that comes while another one of its deployment runs."""
    parameters: tuple[tuple[str, str], ...] = ()
    """Parameters beside config and overrides."""


SKIP = ConcurrencyLimitStrategy.CANCEL_NEW
DEPLOYED = (
    Deployed("feedback", GPU, "sampling", "0 * * * *", strategy=SKIP),
    Deployed(CHECK, CPU, "default", "*/10 * * * *", strategy=SKIP),
    Deployed("reward-model", GPU, "training", "0 1 * * *"),
    Deployed("policy", GPU, "training", "0 2 * * 0"),
    Deployed("evaluate", GPU, "evaluation", "0 12 * * 0"),
    Deployed("promote", CPU, "default", "0 14 * * 0"),
    Deployed("cycle", GPU, "training", "0 3 * * *", is_active=False, strategy=SKIP),
    Deployed("stage", GPU, "training", parameters=(("stage", "ingest"),)),
    Deployed(APPROVAL, CPU, "default"),
)
"""All deployments of a line. Either the separate groups are scheduled or the whole cycle is."""


def deployed_of(config: Config) -> list[Deployed]:
    """Return the deployments of a line; without conditions, their check is switched off."""
    is_checked = has_condition(config.service.triggers)
    return [
        replace(each, is_active=is_checked) if each.flow == CHECK else each for each in DEPLOYED
    ]


def deploy(
    config: Config,
    source: Path,
    overrides: Sequence[str],
    flows: Mapping[str, Flow[..., Any]],
    feedback: Schedule | None = None,
) -> dict[str, UUID]:
    """Register the deployments of a line, or bring them up to date.

    Args:
        config: Config of the line.
        source: The file that it was read from.
        overrides: `a.b=c` each.
        flows: The flows by name.
        feedback: When feedback is collected; None for the default.

    Returns:
        The ids of the deployments by flow.

    Raises:
        ConfigError: If a deployment of that name runs another config file.
    """
    with get_client(sync_client=True) as client:
        refuse_taken_name(client, config.name, str(source.resolve()), flows)
        create_pools(client)
    registered = {}
    for each in deployed_of(config):
        began = datetime.now(UTC)
        deployment = RunnerDeployment.from_flow(
            flows[each.flow],
            **options(
                each, config.name, source, overrides, feedback if each.flow == FIRST else None
            ),
            work_pool_name=each.pool,
            work_queue_name=each.queue,
            job_variables={"working_dir": str(Path.cwd())},
        )
        is_kept = keep_schedule(deployment)
        identity = deployment.apply()
        assert isinstance(identity, UUID), "it is a coroutine in an event loop alone"
        schedule_at_once(identity, began, is_kept=is_kept)
        registered[each.flow] = identity
    return registered


def options(
    wanted: Deployed,
    line: str,
    source: Path,
    overrides: Sequence[str],
    schedule: Schedule | None = None,
) -> dict[str, Any]:
    """Return how a flow is deployed for a line, as arguments of Prefect.

    Args:
        wanted: The flow and its defaults.
        line: Name of the line.
        source: Path of its config.
        overrides: `a.b=c` each.
        schedule: When it runs; None for the default.
    """
    if schedule is None and wanted.cron is not None:
        schedule = Schedule(cron=wanted.cron, timezone="UTC", active=wanted.is_active)
    config = {"config": str(source.resolve()), "overrides": list(overrides)}
    return {
        "name": line,
        "tags": [line],
        "schedule": schedule,
        "parameters": {**config, **dict(wanted.parameters)},
        "concurrency_limit": one_at_a_time(wanted.strategy),
        "entrypoint_type": EntrypointType.MODULE_PATH,
    }


def keep_schedule(deployment: RunnerDeployment) -> bool:
    """Leave the schedule out of an update that would replace it by the same one.

    Prefect identifies a firing by its schedule and its time. A schedule that is kept therefore
    never fires twice at one time.

    Args:
        deployment: A deployment that is about to be registered.

    Returns:
        True if the server has its schedule already.
    """
    with get_client(sync_client=True) as client:
        try:
            former = client.read_deployment_by_name(deployment.full_name).schedules
        except ObjectNotFound:
            return False
    wanted = deployment.schedules or []
    if [(each.schedule, each.active) for each in former] != [
        (each.schedule, each.active) for each in wanted
    ]:
        return False
    deployment.schedules = None
    deployment.model_fields_set.discard("schedules")
    return True


def schedule_at_once(deployment: UUID, began: datetime, *, is_kept: bool) -> None:
    """Create the next runs of a deployment, which an update removes, without waiting for a server.

    Args:
        deployment: Id of the deployment.
        began: Time before the update.
        is_kept: True if the schedule is the former one: its firings of the last minute count, too.
    """
    since = began - LATE if is_kept else began
    with get_client(sync_client=True) as client:
        client.request(
            "POST",
            "/deployments/{id}/schedule",
            path_params={"id": deployment},
            json={"start_time": since.isoformat()},
        )


def one_at_a_time(strategy: ConcurrencyLimitStrategy) -> ConcurrencyLimitConfig:
    """Return the limit of one run at a time; its slot is freed if the run does not start."""
    return ConcurrencyLimitConfig(
        limit=1, collision_strategy=strategy, grace_period_seconds=START_SECONDS
    )


def create_pools(client: SyncPrefectClient) -> None:
    """Create the work pools and their queues if they are missing, and order the queues."""
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    for pool, queues in QUEUES.items():
        with suppress(ObjectAlreadyExists):
            client.create_work_pool(
                WorkPoolCreate(name=pool, type=POOL_TYPE, base_job_template=template)
            )
        _order_queues(client, pool, queues)


def _order_queues(client: SyncPrefectClient, pool: str, queues: Sequence[str]) -> None:
    """Create the queues of a pool that are missing, and give the first the highest priority."""
    there = _queues(client, pool)
    for name in queues:
        if name not in there:
            client.create_work_queue(name=name, work_pool_name=pool)
    if [name for name in there if name in queues] == list(queues):
        return
    for priority, name in enumerate(queues, start=1):  # each moves the others behind it
        client.request(
            "PATCH",
            "/work_pools/{work_pool_name}/queues/{name}",
            path_params={"work_pool_name": pool, "name": name},
            json={"priority": priority},
        )


def _queues(client: SyncPrefectClient, pool: str) -> list[str]:
    """Return the names of a pool's queues, that of the highest priority first."""
    queues = client.read_work_queues(work_pool_name=pool)
    return [queue.name for queue in sorted(queues, key=lambda queue: queue.priority or 0)]


def remove(line: str) -> list[str]:
    """Delete the deployments of a line from the Prefect server, and return their flows."""
    with get_client(sync_client=True) as client:
        there = _deployments_of(client, line)
        for deployment in there.values():
            client.delete_deployment(deployment.id)
    return list(there)


def remove_served(line: str, but: Collection[str]) -> None:
    """Delete the deployments of a line that a process served before and serves no longer.

    Nobody would run them, and their schedules would go on.

    Args:
        line: Name of the line.
        but: Flows that are served still.
    """
    with get_client(sync_client=True) as client:
        for flow, deployment in _deployments_of(client, line).items():
            if flow not in but and deployment.work_pool_name is None:
                client.delete_deployment(deployment.id)


def _deployments_of(client: SyncPrefectClient, line: str) -> dict[str, DeploymentResponse]:
    there = {}
    for each in DEPLOYED:
        with suppress(ObjectNotFound):
            there[each.flow] = client.read_deployment_by_name(f"{each.flow}/{line}")
    return there


def refuse_taken_name(
    client: SyncPrefectClient, line: str, config: str, flows: Iterable[str]
) -> None:
    """Refuse to deploy a line if the server has another config file under its name.

    Args:
        client: Client of the server.
        line: Name of the line.
        config: Path of its config file.
        flows: Names of the flows to deploy.

    Raises:
        ConfigError: If a deployment of that name runs another file.
    """
    for flow in flows:
        try:
            deployment = client.read_deployment_by_name(f"{flow}/{line}")
        except ObjectNotFound:
            continue
        other = (deployment.parameters or {}).get("config")
        if other is not None and Path(other).is_absolute() and other != config:
            raise ConfigError(
                f"this Prefect server already has a line named {line!r}, from {other}; give "
                f"{config} a `name` of its own, or, if that line is no longer needed, run `solon "
                f"deploy {other} --remove`"
            )
