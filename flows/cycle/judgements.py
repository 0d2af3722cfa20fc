"""Asking the panel for the judgements that are missing, and storing them batch by batch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.cycle.silence import RollCall
from flows.terminal.progress import Advance, progress
from judges import Ledger
from judges.panel.panel import Panelist, Task
from rlhf_core.config.tree import JudgingSettings
from rlhf_core.endpoints.batch_files import LINES_AT_MOST
from rlhf_core.records import Judgement, JudgeModel, Response
from rlhf_core.store import Store, queries

GROWTH = 4
TasksFor = Callable[[Panelist], Sequence[Task]]


def judge_missing(
    store: Store,
    ledger: Ledger,
    panelists: Sequence[Panelist],
    tasks_for: TasksFor,
    label: str,
    limits: JudgingSettings,
) -> int:
    """Every panelist judges its tasks that no row answers yet; how many judgements are new.

    Args:
        store: Where judgements are kept, batch by batch.
        ledger: The panelists' own.
        panelists: Who judges.
        tasks_for: All that a panelist is to judge.
        label: Of the progress bars.
        limits: How many verdicts may be missing.

    Raises:
        EndpointError: If a remote model does not answer before the first question.
        SilentJudgeError: If a judge has no readable answer to too many questions.
    """
    wanted = {panelist: tasks_for(panelist) for panelist in panelists}
    name_models(store, {panelist.version: panelist.models for panelist in panelists})
    candidates = {task.candidate.id for tasks in wanted.values() for task in tasks}
    known = queries.answered_judgements(store, candidates)
    added = 0
    for panelist, tasks in wanted.items():
        missing = panelist.missing(tasks, known)
        roll = RollCall(panelist, limits)
        roll.hear(queries.answers_of(store, panelist.version, {t.candidate.id for t in tasks}))
        roll.check(is_over=False)
        if missing:
            panelist.preflight()
        with progress(f"{label}: {panelist.settings.name}", len(missing)) as advance:
            spending = Spending(advance)
            ledger.on_answer = spending
            for batch in batches(missing, panelist.batch, limits.silent_after):
                new, judgements = judge_batch(store, panelist, batch)
                added += new
                advance(len(batch), spending.note)
                roll.hear((one.outcome, one.reason, one.raw_output) for one in judgements)
                roll.check(is_over=False)
        roll.check(is_over=True)
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
def judge_batch(
    store: Store, panelist: Panelist, tasks: Sequence[Task]
) -> tuple[int, list[Judgement]]:
    """Judge a batch and add it in one transaction; how many judgements are new, and all of them."""
    judgements = panelist.judge(tasks, attempt=store.run_id)
    return store.append(judgements), judgements


def batches(tasks: Sequence[Task], largest: int, first: int) -> Iterator[Sequence[Task]]:
    """The tasks in batches that grow: a judge that does not answer shows in a small one.

    Args:
        tasks: All of them.
        largest: A whole batch. Where the answers come by batch, within hours, all are whole.
        first: The smallest batch.
    """
    size = largest if largest >= LINES_AT_MOST else min(first, largest)
    start = 0
    while start < len(tasks):
        yield tasks[start : start + size]
        start += size
        size = min(GROWTH * size, largest)
