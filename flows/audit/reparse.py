"""Reading again what judges' models said, after a parser changed; nothing is asked for it.

The new verdicts are rows of the judge's new version; those of the old one stay.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from flows.cycle.cycle import new_run_id
from flows.cycle.ledger import StoreLedger
from judges.panel.panel import Panelist, Task
from rlhf_core.config import Config
from rlhf_core.records import Judgement, Outcome
from rlhf_core.store import Store, queries


@dataclass(frozen=True)
class Reread:
    """What came of one judge's past answers."""

    judge: str
    version: str
    read_again: int
    """New rows."""
    changed: int
    """Of these, how many came to another outcome, score or probability than the latest before."""
    not_asked: int
    """Verdicts whose question this version asks in other words; only a run can ask it."""


def reparse(config: Config) -> list[Reread]:
    """Read every stored answer of the config's judges by their parsers of today."""
    store = Store(config.store, new_run_id())
    ledger = StoreLedger(store, may_query=False)
    panelists = {
        found.version: found
        for settings in (*config.judges, *config.evaluation.judges)
        for found in [Panelist(settings, ledger)]
    }
    return [_reread(store, panelist) for panelist in panelists.values()]


def _reread(store: Store, panelist: Panelist) -> Reread:
    past = _latest(queries.judgements_by(store, panelist.settings.name))
    tasks = _tasks(store, list(past.values()))
    missing = panelist.missing(tasks, queries.answered_judgements(store, _candidates(tasks)))
    again, not_asked = [], 0
    for start in range(0, len(missing), panelist.batch):
        found = panelist.judge(missing[start : start + panelist.batch], attempt=store.run_id)
        readable = [j for j in found if j.outcome is not Outcome.UNAVAILABLE]
        not_asked += len(found) - len(readable)
        store.append(readable)
        again += readable
    changed = [
        judgement for judgement in again if _verdict(judgement) != _verdict(past[_key(judgement)])
    ]
    return Reread(panelist.settings.name, panelist.version, len(again), len(changed), not_asked)


def _latest(judgements: Sequence[Judgement]) -> dict[tuple[str, str | None], Judgement]:
    """The newest judgement of each candidate or contest that was read from a model's words."""
    return {_key(judgement): judgement for judgement in judgements if judgement.response_ids}


def _key(judgement: Judgement) -> tuple[str, str | None]:
    return judgement.candidate_id, judgement.opponent_id


def _verdict(judgement: Judgement) -> tuple[Outcome, float | None, float | None]:
    return judgement.outcome, judgement.score, judgement.probability


def _tasks(store: Store, judgements: Sequence[Judgement]) -> list[Task]:
    prompts = queries.prompts_by_id(store, {judgement.prompt_id for judgement in judgements})
    shown = {judgement.candidate_id for judgement in judgements}
    shown |= {judgement.opponent_id for judgement in judgements if judgement.opponent_id}
    candidates = queries.candidates_by_id(store, shown)
    return [
        Task(
            prompts[judgement.prompt_id],
            candidates[judgement.candidate_id],
            candidates[judgement.opponent_id] if judgement.opponent_id else None,
        )
        for judgement in judgements
    ]


def _candidates(tasks: Sequence[Task]) -> set[str]:
    return {task.candidate.id for task in tasks}
