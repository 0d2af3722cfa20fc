"""Deploying policy lines to a Prefect server, whose workers run them."""

from collections.abc import Sequence
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.schedules import Schedule
from prefect.server.schemas.schedules import SCHEDULE_TYPES
from pydantic import TypeAdapter

from flows.deployed import FLOWS
from flows.service import automations, deployments
from flows.service.cron import next_time
from flows.service.deployments import DEPLOYED, Deployed
from rlhf_core.config import load_config

TOLD = "when told or by event"


def deploy_line(
    source: Path, overrides: Sequence[str], feedback: Schedule | None = None
) -> list[tuple[Deployed, str]]:
    """Register the deployments of a line, and the automations that start them.

    Args:
        source: Path of the config.
        overrides: `a.b=c` each.
        feedback: When feedback is collected; None for every hour.

    Returns:
        Each deployment, with its next firing.

    Raises:
        ConfigError: If the server has another config file under the line's name.
    """
    config = load_config(source, overrides)
    deployments.deploy(config, source, overrides, FLOWS, feedback)
    automations.register(config, FLOWS)
    return [(each, _next_firing(each.flow, config.name)) for each in DEPLOYED]


def remove_line(line: str) -> list[str]:
    """Remove the automations and deployments of a line; return the flows that were deployed."""
    automations.remove(line)
    return deployments.remove(line)


def _next_firing(flow: str, line: str) -> str:
    """Return the time of a deployment's next firing, or why it has none."""
    with get_client(sync_client=True) as client:
        schedules = client.read_deployment_by_name(f"{flow}/{line}").schedules
    active = [each.schedule.model_dump() for each in schedules if each.active]
    times = [next_time(TypeAdapter(SCHEDULE_TYPES).validate_python(each)) for each in active]
    if times:
        return f"{min(times):%a %Y-%m-%d %H:%M:%S}"
    return "switched off" if schedules else TOLD
