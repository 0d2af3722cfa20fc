"""The pages of a cycle and of its line: training, evaluation, answers before and after."""

from flows.cycle.cycle import LAST_STAGE, Cycle
from flows.cycle.flow_runs import cycle_flow, link_report
from flows.cycle.stage import stage
from flows.reports.cycle_page import write_report
from flows.reports.line_page import write_line_page
from rlhf_core.store import line_queries


@cycle_flow(LAST_STAGE)
def report(cycle: Cycle) -> str:
    """Write the page of a cycle that ended, and that of its line; return the first one's path."""
    with stage(cycle, LAST_STAGE) as work:
        path = write_report(work.store, cycle)
        write_line_page(work.store, cycle.config)
        work.detail = {"page": str(path)}
        decision = line_queries.promotions_of(work.store, cycle.line)[cycle.number]
        verdict = "promoted" if decision.promoted else "refused"
        reasons = "; ".join(decision.reasons)
        link_report(cycle, f"{verdict}; {reasons}", path.resolve().as_uri())
        work.news = "written"
    return str(path)
