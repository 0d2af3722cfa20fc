"""Prompts are ingested: read from their source, checked, split, and stored as one set."""

import logging

from flows.cycle.benchmarks import check_benchmarks
from flows.cycle.cycle import Cycle
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.handover import Handover
from flows.cycle.independence import refuse_judging_trainers
from flows.cycle.prompts import log_own_system_message, read_checked_prompts
from flows.cycle.stage import stage
from judges import load
from rlhf_core.config import Config
from rlhf_core.config.tree import held_out_judges, training_judges
from rlhf_core.records import Split
from rlhf_core.store import queries
from rlhf_core.store.topics import new_topics

logger = logging.getLogger(__name__)


@cycle_flow("ingest")
def ingest(cycle: Cycle) -> str:
    """Add the new prompts; return the id of the set of prompts that the source holds now."""
    config = cycle.config
    _check_machine(config)
    with stage(cycle, "ingest") as work:
        refuse_judging_trainers(config, work.store)
        intake = read_checked_prompts(config)
        log_own_system_message(config)
        prompt_set = intake.prompt_set
        known = queries.known_ids(work.store, "prompts", prompt_set.prompt_ids)
        work.store.append([*intake.records(), *new_topics(work.store, intake.topics)])
        work.detail = {
            "prompts": len(intake.prompts),
            "train": len(queries.prompts_of(work.store, prompt_set.id, Split.TRAIN)),
            "holdout": len(queries.prompts_of(work.store, prompt_set.id, Split.HOLDOUT)),
            **{f"left out as {reason}": count for reason, count in intake.left_out.items()},
            **{f"found of {kind}": spans for kind, spans in intake.personal_data.items()},
        }
        work.result = Handover(prompt_set_id=prompt_set.id)
        work.news = f"{len(intake.prompts) - len(known)} new"
    return prompt_set.id


def _check_machine(config: Config) -> None:
    """Refuse judges and benchmarks that this machine cannot run, before hours are spent.

    Raises:
        ConfigError: With what to install.
    """
    for settings in (*training_judges(config), *held_out_judges(config)):
        load(settings).check_machine()
    check_benchmarks(config)
