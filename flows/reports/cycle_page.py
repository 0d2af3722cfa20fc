"""The report page of a cycle that has ended."""

import json
from pathlib import Path

from pydantic import ValidationError

from flows.cycle.cycle import Cycle
from flows.cycle.identity import config_hash
from flows.reports.cycle_data import gather
from flows.reports.pages import render
from rlhf_core.config import Config
from rlhf_core.errors import StoreError
from rlhf_core.files.whole import whole_text
from rlhf_core.store import Store, line_queries


def write_report(store: Store, cycle: Cycle) -> Path:
    """Write the page, whole or not at all, from the store.

    Raises:
        StoreError: If the cycle has not ended.
    """
    data = gather(store, with_recorded_config(store, cycle))
    if data is None:
        raise StoreError(
            f"cycle {cycle.number} of the line {cycle.line} has not ended; run `solon run`"
        )
    page = render("report.html", data)
    path = cycle.report_path
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_text(path) as stream:
        stream.write(page)
    return path


def with_recorded_config(store: Store, cycle: Cycle) -> Cycle:
    """Return a cycle with the config that it was decided under, before any later edit.

    Raises:
        StoreError: If this version of Solon cannot read that config.
    """
    promotion = line_queries.promotions_of(store, cycle.line).get(cycle.number)
    if promotion is None or promotion.config_hash == config_hash(cycle.config):
        return cycle
    kept = line_queries.config_version(store, promotion.config_hash)
    try:
        ran = Config.model_validate(json.loads(kept.config if kept else "{}"))
    except ValidationError as error:
        raise StoreError(
            f"cycle {cycle.number} of the line {cycle.line} ran with a config that this version of "
            f"Solon cannot read ({error.error_count()} settings); its figures are in the store"
        ) from None
    here = {name: getattr(cycle.config, name) for name in ("name", "store", "artifacts")}
    return cycle.model_copy(update={"config": ran.model_copy(update=here)})
