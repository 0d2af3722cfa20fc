"""Asking the panel for the judgements that are missing, and storing them batch by batch."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows._progress import Advance, progress
from judges import Ledger
from judges._panel import Panelist, Task
from rlhf_core.records import JudgeModel, Response
from rlhf_core.store import Store, queries

TasksFor = Callable[[Panelist], Sequence[Task]]


def judge_missing(
    store: Store,
    ledger: Ledger,
    panelists: Sequence[Panelist],
    tasks_for: TasksFor,
    label: str,
) -> int:
    """Every panelist judges its tasks that no row answers yet; how many judgements are new."""
    wanted = {panelist: tasks_for(panelist) for panelist in panelists}
    name_models(store, {panelist.version: panelist.models for panelist in panelists})
    candidates = {task.candidate.id for tasks in wanted.values() for task in tasks}
    known = queries.answered_judgements(store, candidates)
    added = 0
    for panelist, tasks in wanted.items():
        missing = panelist.missing(tasks, known)
        with progress(f"{label}: {panelist.settings.name}", len(missing)) as advance:
            spending = Spending(advance)
            ledger.on_answer = spending
            for start in range(0, len(missing), panelist.batch):
                batch = missing[start : start + panelist.batch]
                added += judge_batch(store, panelist, batch)
                advance(len(batch), spending.note)
    return added


def name_models(store: Store, models: Mapping[str, Sequence[str]]) -> None:
    """Keep which judges' models were made here: what is behind those is behind the verdicts, too.

    Args:
        store: Whose models are meant.
        models: By judge version, as configs name models: the folder of one of ours has its id.
    """
    named = [(version, Path(model).name) for version, all in models.items() for model in all]
    ours = queries.known_ids(store, "models", {model for _, model in named})
    store.append(
        JudgeModel(judge_version=version, model_id=model)
        for version, model in named
        if model in ours
    )


class Spending:
    """Shows beside a bar how often a model was asked, and what that has cost.

    Args:
        advance: Of the bar.
    """

    def __init__(self, advance: Advance) -> None:
        self.advance = advance
        self.calls, self.cost_usd = 0, 0.0

    def __call__(self, response: Response) -> None:
        self.calls += 1
        self.cost_usd += response.cost_usd
        self.advance(0, self.note)

    @property
    def note(self) -> str:
        if not self.calls:
            return ""
        cost = f", ${self.cost_usd:.2f}" if self.cost_usd else ""
        return f"{self.calls} asked{cost}"


@task(
    name="judge batch",
    task_run_name="judge batch by {panelist.settings.name}",
    cache_policy=NO_CACHE,
)
def judge_batch(store: Store, panelist: Panelist, tasks: Sequence[Task]) -> int:
    """Judge a batch and add it in one transaction."""
    return store.append(panelist.judge(tasks, attempt=store.run_id))
