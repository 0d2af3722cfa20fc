"""Missing judgements: the panel judges them, and the store receives them batch by batch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.cycle.silence import PanelistSilence
from flows.terminal.progress import Advance, progress
from judges import Ledger
from judges.panel.panel import JudgementTask, Panelist
from rlhf_core.config.tree import JudgingSettings
from rlhf_core.endpoints.batch_files import LINES_AT_MOST
from rlhf_core.records import Judgement, JudgeModel, Response
from rlhf_core.store import Store, queries

GROWTH = 4
TasksFor = Callable[[Panelist], Sequence[JudgementTask]]


def judge_missing(
    store: Store,
    ledger: Ledger,
    panelists: Sequence[Panelist],
    tasks_for: TasksFor,
    label: str,
    limits: JudgingSettings,
) -> int:
    """Have every panelist judge those of its tasks that have no judgement in the store.

    Args:
        store: Receives the judgements.
        ledger: The ledger that the panelists share.
        panelists: The judges.
        tasks_for: Returns all tasks of a panelist.
        label: Label of the progress bars.
        limits: Share of verdicts that may be missing.

    Returns:
        The number of new judgements.

    Raises:
        EndpointError: If a remote model does not answer the preflight request.
        SilentJudgeError: If too many replies of a judge are missing or unreadable.
    """
    wanted = {panelist: tasks_for(panelist) for panelist in panelists}
    record_judge_models(store, {panelist.version: panelist.models for panelist in panelists})
    candidates = {task.candidate.id for tasks in wanted.values() for task in tasks}
    known = queries.answered_judgements(store, candidates)
    added = 0
    for panelist, tasks in wanted.items():
        missing = panelist.missing(tasks, known)
        silence = PanelistSilence(panelist, limits)
        judged = {task.candidate.id for task in tasks}
        silence.count(queries.answers_of(store, panelist.version, judged))
        silence.check(is_over=False)
        if missing:
            panelist.preflight()
        with progress(f"{label}: {panelist.settings.name}", len(missing)) as advance:
            spending = CallMeter(advance)
            ledger.on_answer = spending
            for batch in batches(missing, panelist.batch, limits.silent_after):
                new, judgements = judge_batch(store, panelist, batch)
                added += new
                advance(len(batch), spending.note)
                silence.count((each.outcome, each.reason, each.raw_output) for each in judgements)
                silence.check(is_over=False)
        silence.check(is_over=True)
    return added


def record_judge_models(store: Store, models: Mapping[str, Sequence[str]]) -> None:
    """Record which judges run on models of this store, for the lineage of their verdicts.

    Args:
        store: Store of the models; receives the records.
        models: Names of the models of each judge version, as in the config. A model of this store
            is named by its folder, whose name is the model's id.
    """
    named = [(version, Path(model).name) for version, names in models.items() for model in names]
    ours = queries.known_ids(store, "models", {model for _, model in named})
    store.append(
        JudgeModel(judge_version=version, model_id=model)
        for version, model in named
        if model in ours
    )


class CallMeter:
    """Shows the number of calls and their cost beside a progress bar.

    Args:
        advance: Advances the bar.
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
        return f"{self.calls} calls{cost}"


@task(
    name="judge batch",
    task_run_name="judge batch by {panelist.settings.name}",
    cache_policy=NO_CACHE,
)
def judge_batch(
    store: Store, panelist: Panelist, tasks: Sequence[JudgementTask]
) -> tuple[int, list[Judgement]]:
    """Judge a batch, and add the judgements in one transaction.

    Args:
        store: Receives the judgements.
        panelist: The judge.
        tasks: Tasks of one batch.

    Returns:
        The number of new judgements, and all judgements of the batch.
    """
    judgements = panelist.judge(tasks, attempt=store.run_id)
    return store.append(judgements), judgements


def batches(
    tasks: Sequence[JudgementTask], largest: int, first: int
) -> Iterator[Sequence[JudgementTask]]:
    """Yield the tasks in batches that grow, so that a silent judge shows in a small batch.

    Args:
        tasks: All tasks of a judge.
        largest: Size of a full batch. A judge that uses a batch API, which answers within hours,
            has full batches only.
        first: Size of the first batch.

    Yields:
        Consecutive tasks.
    """
    size = largest if largest >= LINES_AT_MOST else min(first, largest)
    start = 0
    while start < len(tasks):
        yield tasks[start : start + size]
        start += size
        size = min(GROWTH * size, largest)
