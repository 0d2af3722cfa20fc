"""Prompts that a stage leaves out from now on, because it failed on them in run after run.

Only stages on training prompts leave prompts out. An evaluation keeps its set: what has no verdict
there is counted as missing, and too much of it stops the run.
"""

import logging
from collections.abc import Sequence

from flows.cycle.cycle import Cycle
from flows.service.events import Event, announce
from rlhf_core.records import Prompt
from rlhf_core.store import Store
from rlhf_core.store.quarantine import quarantine, quarantined

logger = logging.getLogger(__name__)


def without_quarantined(
    cycle: Cycle, store: Store, stage: str, prompts: Sequence[Prompt], judge_version: str = ""
) -> list[Prompt]:
    """Return the prompts that a stage does not leave out; first decide, by its earlier failures.

    Args:
        cycle: The cycle under way.
        store: The store, which receives the decisions.
        stage: Name of the stage.
        prompts: Training prompts.
        judge_version: The judge, in the stage `judge`.
    """
    after = cycle.config.service.quarantine_after
    ids = [prompt.id for prompt in prompts]
    for each in quarantine(store, stage, ids, after, judge_version):
        logger.warning(
            "%s leaves out prompt %s from now on, after %d failures: %s",
            f"{stage} by {judge_version}" if judge_version else stage,
            each.prompt_id,
            each.failures,
            each.reason,
        )
        announce(
            Event.PROMPT_QUARANTINED,
            cycle.line,
            cycle=cycle.number,
            stage=stage,
            prompt=each.prompt_id,
            failures=each.failures,
        )
    left_out = quarantined(store, stage, judge_version)
    return [prompt for prompt in prompts if prompt.id not in left_out]
