"""Names and tags of the flow runs on a Prefect server: line, cycle and stage.

With them, the runs of one line can be searched on a server that many lines share.
"""

from collections.abc import Callable
from typing import Concatenate, Generic, ParamSpec, TypeVar

from prefect import flow, tags
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run

from flows.cycle.cycle import Cycle
from flows.cycle.estimates import CycleWork, Row
from flows.terminal.heartbeat import heartbeat
from flows.terminal.logs import Origin, lines_of
from rlhf_core.errors import ConfigError

Others = ParamSpec("Others")
Result = TypeVar("Result")
DEPLOYED_FLOW = "solon"
Estimate = Callable[[CycleWork], list[Row]]
"""Returns the rows of the plan for the missing work of a cycle."""


class CycleFlow(Generic[Others, Result]):
    """A flow of one cycle, whose runs are named and tagged after it.

    Args:
        name: Name of the flow, which also tags its runs.
        fn: The function that the flow runs.
    """

    def __init__(self, name: str, fn: Callable[Concatenate[Cycle, Others], Result]) -> None:
        self.name, self.fn = name, fn
        run_name = "{cycle.line} cycle {cycle.number} " + name
        self._flow = flow(name=name, flow_run_name=run_name)(fn)

        self.estimate: Estimate = lambda work: []
        """A stage without an estimate takes no time worth planning."""

    def estimator(self, estimate: Estimate) -> Estimate:
        """Decorate the function that estimates this flow's missing work."""
        self.estimate = estimate
        return estimate

    def __call__(self, cycle: Cycle, *args: Others.args, **kwargs: Others.kwargs) -> Result:
        origin = Origin(cycle.line, cycle.number, self.name, cycle.run_id)
        with tags(*tags_of(cycle), self.name), lines_of(origin), heartbeat(self.name):
            return self._flow(cycle, *args, **kwargs)


def cycle_flow(
    name: str,
) -> Callable[[Callable[Concatenate[Cycle, Others], Result]], CycleFlow[Others, Result]]:
    """Turn a function of a cycle into a flow of that name."""
    return lambda fn: CycleFlow(name, fn)


def tags_of(cycle: Cycle) -> tuple[str, str, str]:
    """Return the tags of all runs of a cycle; the last is the run id of the store's rows."""
    return cycle.line, f"cycle {cycle.number}", f"run {cycle.run_id}"


def name_run(cycle: Cycle) -> None:
    """Rename the flow run that is under way, which the server named when it scheduled it."""
    identity = flow_run.id
    if identity is None:
        return
    kept = {*(flow_run.tags or ()), *tags_of(cycle)}
    with get_client(sync_client=True) as client:
        client.update_flow_run(
            identity, name=f"{cycle.line} cycle {cycle.number}", tags=sorted(kept)
        )


def link_report(cycle: Cycle, verdict: str, address: str) -> None:
    """Show a cycle's decision on the Prefect server, with a link to the cycle's page.

    Args:
        cycle: The cycle that ended.
        verdict: The decision and its reasons.
        address: URL of the page.
    """
    key = "".join(c if c.isalnum() else "-" for c in cycle.line.lower())
    create_markdown_artifact(
        f"**{cycle.line}, cycle {cycle.number}: {verdict}**\n\n[report]({address})",
        key=f"report-{key}",
        description=f"{cycle.line}, cycle {cycle.number}: {verdict}",
    )


def refuse_taken_name(name: str, config: str) -> None:
    """Refuse to serve a line if the server already serves another config file under its name.

    Args:
        name: Name of the line.
        config: Path of its config file.

    Raises:
        ConfigError: If a deployment of that name runs another file.
    """
    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(f"{DEPLOYED_FLOW}/{name}")
        except ObjectNotFound:
            return
    other = (deployment.parameters or {}).get("config")
    if other is not None and other != config:
        raise ConfigError(
            f"this Prefect server already serves a line named {name!r}, from {other}; give "
            f"{config} a `name` of its own, or, if that line is no longer served, run `prefect "
            f"deployment delete {DEPLOYED_FLOW}/{name}`"
        )
