"""Asking the panel for the judgements that are missing, and storing them batch by batch."""

from collections.abc import Callable, Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows._progress import progress
from judges._panel import BATCH, Panelist, Task
from rlhf_core.store import Store, queries

TasksFor = Callable[[Panelist], Sequence[Task]]


def judge_missing(
    store: Store, panelists: Sequence[Panelist], tasks_for: TasksFor, label: str
) -> int:
    """Every panelist judges its tasks that no row answers yet; how many judgements are new."""
    wanted = {panelist: tasks_for(panelist) for panelist in panelists}
    candidates = {task.candidate.id for tasks in wanted.values() for task in tasks}
    known = queries.answered_judgements(store, candidates)
    added = 0
    for panelist, tasks in wanted.items():
        missing = panelist.missing(tasks, known)
        with progress(f"{label}: {panelist.settings.name}", len(missing)) as advance:
            for start in range(0, len(missing), BATCH):
                batch = missing[start : start + BATCH]
                added += judge_batch(store, panelist, batch)
                advance(len(batch), "")
    return added


@task(name="judge batch", cache_policy=NO_CACHE)
def judge_batch(store: Store, panelist: Panelist, tasks: Sequence[Task]) -> int:
    """Judge a batch and add it in one transaction."""
    return store.append(panelist.judge(tasks, attempt=store.run_id))
