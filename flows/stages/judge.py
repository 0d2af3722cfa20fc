"""Judges judge the candidates of the training split."""

from flows.cycle.cycle import CandidateBatch, Cycle
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.judgements import judge_missing
from flows.cycle.ledger import StoreLedger
from flows.cycle.stage import stage
from judges.panel.panel import Panelist, Task, ranking_tasks
from rlhf_core.records import Split
from rlhf_core.store import queries


@cycle_flow("judge")
def judge(cycle: Cycle, prompt_set_id: str, batch: CandidateBatch) -> None:
    """Add the judgements that are missing."""
    with stage(cycle, "judge") as work:
        ledger = StoreLedger(work.store, cycle.budget)
        panelists = [Panelist(settings, ledger) for settings in cycle.config.judges]
        prompts = queries.prompts_of(work.store, prompt_set_id, Split.TRAIN)
        candidates = queries.candidates_by_prompt(
            work.store, batch.model_id, batch.sampling, batch.seed, prompts
        )

        def tasks_for(panelist: Panelist) -> list[Task]:
            return [
                task
                for prompt in prompts
                for task in ranking_tasks(panelist, prompt, candidates[prompt.id])
            ]

        added = judge_missing(
            work.store, ledger, panelists, tasks_for, "judging", cycle.config.judging
        )
        work.news = f"{added} new"
        work.detail = {
            "judges": [panelist.version for panelist in panelists],
            "judgements": sum(len(tasks_for(panelist)) for panelist in panelists),
        }
