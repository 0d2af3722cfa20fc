"""Parsing stored replies of the judges' models again after a parser changed; no model is called.

The new verdicts are rows of the judge's new version; those of the old version stay.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from flows.cycle.cycle import new_run_id
from flows.cycle.ledger import StoreLedger
from judges.panel.panel import JudgementTask, Panelist
from rlhf_core.config import Config
from rlhf_core.config.tree import held_out_judges, repairing_judges
from rlhf_core.records import Judgement, Outcome
from rlhf_core.store import Store, queries


@dataclass(frozen=True)
class Reparsed:
    """Counts of one judge's stored replies that were parsed again."""

    judge: str
    version: str
    read_again: int
    """Number of new rows."""
    changed: int
    """Number of new rows whose outcome, score or probability differs from the latest old one."""
    not_asked: int
    """Number of verdicts whose request this version words differently; only a run can send it."""


def reparse(config: Config) -> list[Reparsed]:
    """Parse every stored reply of the config's judges with their current parsers."""
    store = Store(config.store, new_run_id())
    ledger = StoreLedger(store, may_query=False)
    panelists = {
        panelist.version: panelist
        for settings in (*config.judges, *repairing_judges(config), *held_out_judges(config))
        for panelist in [Panelist(settings, ledger)]
    }
    return [_reparse(store, panelist) for panelist in panelists.values()]


def _reparse(store: Store, panelist: Panelist) -> Reparsed:
    past = _latest(queries.judgements_by(store, panelist.settings.name))
    tasks = _tasks(store, list(past.values()))
    missing = panelist.missing(tasks, queries.answered_judgements(store, _candidates(tasks)))
    again, not_asked = [], 0
    for start in range(0, len(missing), panelist.batch):
        judgements = panelist.judge(missing[start : start + panelist.batch], attempt=store.run_id)
        readable = [j for j in judgements if j.outcome is not Outcome.UNAVAILABLE]
        not_asked += len(judgements) - len(readable)
        store.append(readable)
        again += readable
    changed = [
        judgement for judgement in again if _verdict(judgement) != _verdict(past[_key(judgement)])
    ]
    return Reparsed(panelist.settings.name, panelist.version, len(again), len(changed), not_asked)


def _latest(judgements: Sequence[Judgement]) -> dict[tuple[str, str | None], Judgement]:
    """Return the newest judgement of each candidate or pair that a model's reply led to."""
    return {_key(judgement): judgement for judgement in judgements if judgement.response_ids}


def _key(judgement: Judgement) -> tuple[str, str | None]:
    return judgement.candidate_id, judgement.opponent_id


def _verdict(judgement: Judgement) -> tuple[Outcome, float | None, float | None]:
    return judgement.outcome, judgement.score, judgement.probability


def _tasks(store: Store, judgements: Sequence[Judgement]) -> list[JudgementTask]:
    prompts = queries.prompts_by_id(store, {judgement.prompt_id for judgement in judgements})
    shown = {judgement.candidate_id for judgement in judgements}
    shown |= {judgement.opponent_id for judgement in judgements if judgement.opponent_id}
    candidates = queries.candidates_by_id(store, shown)
    return [
        JudgementTask(
            prompts[judgement.prompt_id],
            candidates[judgement.candidate_id],
            candidates[judgement.opponent_id] if judgement.opponent_id else None,
        )
        for judgement in judgements
    ]


def _candidates(tasks: Sequence[JudgementTask]) -> set[str]:
    return {task.candidate.id for task in tasks}
