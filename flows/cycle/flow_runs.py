"""Names and tags of the flow runs on a Prefect server: line, cycle and stage.

With them, the runs of one line can be searched on a server that many lines share.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Generic, ParamSpec, TypeVar

from prefect import flow, tags
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from flows.cycle.cycle import Cycle
from flows.cycle.estimates import CycleWork, Row
from flows.cycle.failing import retried
from flows.service.flow_process import is_deployed
from flows.service.gpu import releasing
from flows.service.run_logs import log_run
from flows.service.states import BUDGET_SPENT
from flows.terminal.heartbeat import heartbeat
from flows.terminal.logs import Origin, log_origin
from rlhf_core.errors import BudgetError

Others = ParamSpec("Others")
Result = TypeVar("Result")
Estimate = Callable[[CycleWork], list[Row]]
"""Returns the rows of the plan for the missing work of a cycle."""


class CycleFlow(Generic[Others, Result]):
    """A flow of one cycle, whose runs are named and tagged after it.

    A run that stops because the budget is spent has completed as far as Prefect is concerned: it
    has a state of its own, and the caller gets the error.

    Args:
        name: Name of the stage or flow, which also tags its runs. Prefect knows the flow of a stage
            as stage-NAME: deployed flows have names such as evaluate, too.
        fn: The function that the flow runs.
        is_stage: True for one stage, which is tried again after a passing failure if it is
            deployed; False for a flow of stages.
    """

    def __init__(
        self, name: str, fn: Callable[Concatenate[Cycle, Others], Result], is_stage: bool = True
    ) -> None:
        self.name, self.fn, self._is_stage = name, fn, is_stage
        self._spent: BudgetError | None = None
        run_name = "{cycle.line} cycle {cycle.number} " + name

        @wraps(fn)
        def run(cycle: Cycle, *args: Others.args, **kwargs: Others.kwargs) -> Result:
            return self._run(cycle, *args, **kwargs)

        flow_name = f"stage-{name}" if is_stage else name
        self._flow = flow(name=flow_name, flow_run_name=run_name)(run)

        self.estimate: Estimate = lambda work: []
        """A stage without an estimate takes no time worth planning."""

    def estimator(self, estimate: Estimate) -> Estimate:
        """Decorate the function that estimates this flow's missing work."""
        self.estimate = estimate
        return estimate

    def __call__(self, cycle: Cycle, *args: Others.args, **kwargs: Others.kwargs) -> Result:
        name = self.name
        origin = Origin(cycle.line, cycle.number, name if self._is_stage else "", cycle.run_id)
        if is_deployed():
            log_run()
        with tags(*tags_of(cycle), name), log_origin(origin), heartbeat(name):
            if self._is_stage and is_deployed():
                return retried(lambda: self._flow_once(cycle, *args, **kwargs))
            return self._flow_once(cycle, *args, **kwargs)

    def _flow_once(self, cycle: Cycle, *args: Others.args, **kwargs: Others.kwargs) -> Result:
        self._spent = None
        with releasing():
            result = self._flow(cycle, *args, **kwargs)
        if self._spent is not None:
            raise self._spent
        return result

    def _run(self, cycle: Cycle, *args: Others.args, **kwargs: Others.kwargs) -> Result:
        try:
            return self.fn(cycle, *args, **kwargs)
        except BudgetError as error:
            self._spent = error
            return spent_state(error)  # type: ignore[return-value]  # Prefect takes it as the state


def spent_state(error: BudgetError) -> State[None]:
    """Return the state in which a flow run ends when the budget is spent."""
    return Completed(name=BUDGET_SPENT, message=str(error))


def cycle_flow(
    name: str, is_stage: bool = True
) -> Callable[[Callable[Concatenate[Cycle, Others], Result]], CycleFlow[Others, Result]]:
    """Turn a function of a cycle into a flow of that name.

    Args:
        name: Name of the flow.
        is_stage: True for one stage, False for a flow of stages.
    """
    return lambda fn: CycleFlow(name, fn, is_stage)


def tags_of(cycle: Cycle) -> tuple[str, str, str]:
    """Return the tags of all runs of a cycle; the last is the run id of the store's rows."""
    return cycle.line, f"cycle {cycle.number}", f"run {cycle.run_id}"


def name_run(cycle: Cycle, group: str) -> None:
    """Rename the flow run that is under way, which the server named when it scheduled it.

    Args:
        cycle: The cycle that it works on.
        group: The stages that it runs.
    """
    identity = flow_run.id
    if identity is None:
        return
    kept = {*(flow_run.tags or ()), *tags_of(cycle)}
    with get_client(sync_client=True) as client:
        name = f"{cycle.line} cycle {cycle.number} {group}"
        client.update_flow_run(identity, name=name, tags=sorted(kept))


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
