"""One page a cycle: what was learnt, whether it helped, what the answers look like now."""

import json
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import ValidationError

from flows._cycle import LAST_STAGE, Cycle
from flows._identity import config_hash
from flows._report_data import gather
from flows._runs import cycle_flow, link_report
from flows._stage import stage
from rlhf_core.config import Config
from rlhf_core.errors import StoreError
from rlhf_core.store import Store, queries
from rlhf_core.whole import whole_text


@cycle_flow(LAST_STAGE)
def report(cycle: Cycle) -> str:
    """Write the page of a cycle that ended; its path."""
    with stage(cycle, LAST_STAGE) as work:
        path = write_report(work.store, cycle)
        work.detail = {"page": str(path)}
        decision = queries.promotions_of(work.store, cycle.line)[cycle.number]
        verdict = "promoted" if decision.promoted else "refused"
        reasons = "; ".join(decision.reasons)
        link_report(cycle, f"{verdict}; {reasons}", path.resolve().as_uri())
        work.news = "written"
    return str(path)


def write_report(store: Store, cycle: Cycle) -> Path:
    """Write the page, whole or not at all, from what the store holds.

    Raises:
        StoreError: If that cycle has not ended.
    """
    data = gather(store, as_it_ran(store, cycle))
    if data is None:
        raise StoreError(
            f"cycle {cycle.number} of the line {cycle.line} has not ended; run `solon run`"
        )
    environment = Environment(
        loader=PackageLoader("flows", "templates"), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template("report.html").render(data)
    path = cycle.report_path
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_text(path) as stream:
        stream.write(page)
    return path


def as_it_ran(store: Store, cycle: Cycle) -> Cycle:
    """Return a cycle with the config that it was decided under, which may have been edited since.

    Raises:
        StoreError: If this version of Solon cannot read that config.
    """
    promotion = queries.promotions_of(store, cycle.line).get(cycle.number)
    if promotion is None or promotion.config_hash == config_hash(cycle.config):
        return cycle
    kept = queries.config_version(store, promotion.config_hash)
    try:
        ran = Config.model_validate(json.loads(kept.config if kept else "{}"))
    except ValidationError as error:
        raise StoreError(
            f"cycle {cycle.number} of the line {cycle.line} ran by a config that this version of "
            f"Solon cannot read ({error.error_count()} settings); its figures are in the store"
        ) from None
    here = {name: getattr(cycle.config, name) for name in ("name", "store", "artifacts")}
    return cycle.model_copy(update={"config": ran.model_copy(update=here)})
