"""Judges judge the candidates of the training split."""

from flows.cycle.cycle import CandidateBatch, Cycle
from flows.cycle.estimates import CycleWork, Row
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.handover import Handover
from flows.cycle.judgements import judge_missing
from flows.cycle.ledger import StoreLedger
from flows.cycle.probes import probe_judges
from flows.cycle.quarantine import without_quarantined
from flows.cycle.stage import stage
from judges.panel.panel import JudgementTask, Panelist, ranking_tasks
from rlhf_core.records import Split
from rlhf_core.store import queries


@cycle_flow("judge")
def judge(cycle: Cycle, prompt_set_id: str, batch: CandidateBatch) -> None:
    """Add the missing judgements.

    Args:
        cycle: The cycle under way.
        prompt_set_id: Prompt set of the cycle.
        batch: Candidates to judge.
    """
    with stage(cycle, "judge") as work:
        ledger = StoreLedger(work.store, cycle.budget, compute=cycle.config.compute)
        panelists = [Panelist(settings, ledger) for settings in cycle.config.judges]
        prompts = queries.prompts_of(work.store, prompt_set_id, Split.TRAIN)
        candidates = queries.candidates_by_prompt(
            work.store, batch.model_id, batch.sampling, batch.seed, prompts
        )

        asked = {
            panelist.version: without_quarantined(
                cycle, work.store, "judge", prompts, panelist.version
            )
            for panelist in panelists
        }

        def tasks_for(panelist: Panelist) -> list[JudgementTask]:
            return [
                task
                for prompt in asked[panelist.version]
                for task in ranking_tasks(panelist, prompt, candidates[prompt.id])
            ]

        added = judge_missing(
            work.store, ledger, panelists, tasks_for, "judging", cycle.config.judging
        )
        probe_judges(cycle, work.store, cycle.config.judges, Split.TRAIN)
        work.news = f"{added} new"
        work.detail = {
            "judges": [panelist.version for panelist in panelists],
            "judgements": sum(len(tasks_for(panelist)) for panelist in panelists),
        }
        work.result = Handover(prompt_set_id=prompt_set_id, batch=batch)


@judge.estimator
def estimate(work: CycleWork) -> list[Row]:
    """Estimate the missing judgements of each judge."""
    rows = []
    for panelist in work.panel:
        judged = [prompt for prompt in work.train if prompt.mode in panelist.settings.modes]
        calls = len(judged) * panelist.calls(work.config.sampling.candidates)
        calls -= work.done.judged.get(panelist.version, 0)
        rows.append(work.judgements("judge", panelist, calls))
        rows.append(work.probes("judge", panelist, len(judged)))
    return rows
