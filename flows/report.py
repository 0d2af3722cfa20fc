"""One page a cycle: what was learnt, whether it helped, what the answers look like now."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from prefect import flow

from flows._cycle import LAST_STAGE, Cycle
from flows._report_data import gather
from flows._stage import stage
from rlhf_core.errors import StoreError
from rlhf_core.store import Store
from rlhf_core.whole import whole_text


@flow(name=LAST_STAGE)
def report(cycle: Cycle) -> str:
    """Write the page of a cycle that ended; its path."""
    with stage(cycle, LAST_STAGE) as work:
        path = write_report(work.store, cycle)
        work.detail = {"page": str(path)}
        work.news = "written"
    return str(path)


def write_report(store: Store, cycle: Cycle) -> Path:
    """Write the page, whole or not at all, from what the store holds.

    Raises:
        StoreError: If that cycle has not ended.
    """
    data = gather(store, cycle)
    if data is None:
        raise StoreError(f"cycle {cycle.number} of this config has not ended; run `solon run`")
    environment = Environment(
        loader=PackageLoader("flows", "templates"), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template("report.html").render(data)
    path = cycle.report_path
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_text(path) as stream:
        stream.write(page)
    return path
