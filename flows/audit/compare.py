"""`solon compare`: a policy's held-out answers against those of a file, by the config's judges.

The file's answers may come from anywhere: another model, an older system, people. The comparison is
stored as an evaluation whose baseline is the file, and decides nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.cycle.cycle import REPORTS, Cycle, evaluation_sampling
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.judgements import judge_missing
from flows.cycle.ledger import StoreLedger
from flows.cycle.outside import as_many, file_candidates, file_version
from flows.cycle.probes import evaluation_judge
from judges.panel.panel import JudgementTask, Panelist, ranking_tasks
from rlhf_core.errors import InputError
from rlhf_core.evaluation.comparison import (
    Answers,
    JudgedComparison,
    ModelComparison,
    settings_hash,
)
from rlhf_core.evaluation.evaluation_figures import evaluation_figures
from rlhf_core.files.answers import read_answers
from rlhf_core.preferences.votes import OPINIONS
from rlhf_core.records import (
    Candidate,
    Evaluation,
    EvaluationFigure,
    Promotion,
    Prompt,
    Record,
)
from rlhf_core.store import Store, line_queries, queries
from rlhf_core.store.judge_probes import deviations_until
from rlhf_core.store.topics import topics_of


@dataclass(frozen=True)
class FileComparison:
    """A policy against the answers of a file."""

    policy_id: str
    baseline_id: str
    prompts: int
    """Held-out prompts that the file answers."""
    unanswered: int
    """Held-out prompts that it does not answer."""
    others: int
    """Prompts of the file that are not held out."""
    evaluations: tuple[Evaluation, ...]
    """One a judge, the deciding judge first."""
    figures: tuple[EvaluationFigure, ...]


@cycle_flow("compare", is_stage=False)
def compare_with_file(cycle: Cycle, path: Path, columns: Mapping[str, str]) -> FileComparison:
    """Judge the last policy of a line against the answers of a file, and store the comparison.

    Args:
        cycle: Any cycle of the line; its config names the judges.
        path: A file with a prompt and an answer a row; a prompt may have several rows.
        columns: Columns of the file, by role (`prompt`, `answer`), where they have other names.

    Returns:
        The comparison, which is stored.

    Raises:
        InputError: If the line has no policy yet, or the file answers no held-out prompt.
    """
    store = cycle.open_store()
    decision = _last_decision(store, cycle.line)
    policy = _policy_answers(cycle, store, decision.policy_id)
    prompts = store.rows(Prompt, "id IN (SELECT unnest(?))", [list(policy)])
    answers = read_answers(path, columns)
    shared = [prompt for prompt in prompts if prompt.instruction in answers]
    if not shared:
        raise InputError(
            f"{path}: it answers none of the {len(prompts)} held-out prompts; its prompts must be "
            "those of the config's source, word for word. `solon sql \"SELECT text FROM prompts "
            "WHERE split = 'holdout'\"` lists them"
        )
    version = file_version(path, decision.config_hash)
    theirs = {prompt.id: file_candidates(version, prompt, answers) for prompt in shared}
    store.append([version, *(each for group in theirs.values() for each in group)])
    baseline = {id: as_many(group, len(policy[id])) for id, group in theirs.items()}
    judged, figures = _judge(cycle, store, decision, shared, policy, baseline)
    return FileComparison(
        policy_id=decision.policy_id,
        baseline_id=version.id,
        prompts=len(shared),
        unanswered=len(prompts) - len(shared),
        others=len(answers.keys() - {prompt.instruction for prompt in prompts}),
        evaluations=tuple(each.evaluation for each in judged),
        figures=tuple(figures),
    )


def _last_decision(store: Store, line: str) -> Promotion:
    decided = line_queries.promotions_of(store, line)
    if not decided:
        raise InputError(f"the line {line} has no policy yet; run a cycle first")
    return decided[max(decided)]


def _policy_answers(cycle: Cycle, store: Store, policy_id: str) -> dict[str, list[Candidate]]:
    """Return the policy's held-out answers of its evaluation, by prompt id."""
    batch = cycle.batch(policy_id, evaluation_sampling(cycle.config), "evaluation")
    where = "model_id = ? AND sampling = ? AND seed = ?"
    rows = store.rows(Candidate, where, [policy_id, batch.sampling, batch.seed])
    answers: dict[str, list[Candidate]] = {}
    for row in sorted(rows, key=lambda row: (row.prompt_id, row.sample_index)):
        answers.setdefault(row.prompt_id, []).append(row)
    return answers


def _judge(
    cycle: Cycle,
    store: Store,
    decision: Promotion,
    prompts: Sequence[Prompt],
    policy: Answers,
    baseline: Answers,
) -> tuple[list[JudgedComparison], list[EvaluationFigure]]:
    """Judge the answers of both sides by the judges of the evaluation, and store the results."""
    config = cycle.config
    ledger = StoreLedger(store, cycle.budget, compute=config.compute)
    panelists = [Panelist(settings, ledger) for settings in config.evaluation.judges]

    def tasks_for(panelist: Panelist) -> list[JudgementTask]:
        return [
            task
            for prompt in prompts
            for ours, theirs in zip(policy[prompt.id], baseline[prompt.id], strict=True)
            for task in ranking_tasks(panelist, prompt, [ours, theirs])
        ]

    judge_missing(store, ledger, panelists, tasks_for, "comparing", config.judging)
    deviations = deviations_until(store, cycle.line, cycle.number)
    seats = [evaluation_judge(each, REPORTS, deviations) for each in panelists]
    ids = {c.id for side in (policy, baseline) for p in prompts for c in side[p.id]}
    judgements = [
        judgement
        for judgement in queries.judgements_of(store, ids, [seat.version for seat in seats])
        if judgement.outcome in OPINIONS
        and (judgement.opponent_id is None or judgement.opponent_id in ids)
    ]
    (deciding,) = store.rows(Evaluation, "id = ?", [decision.evaluation_id])
    settings = settings_hash(config, prompts, seats, judgements)
    topics = topics_of(store, policy)
    comparison = ModelComparison(prompts, policy, baseline, deciding.kl, settings, topics)
    judged = [comparison.evaluate(config, judgements, seat) for seat in seats]
    confidence = config.promotion.confidence
    figures = [row for each in judged for row in evaluation_figures(comparison, each, confidence)]
    rows: list[Record] = [row for each in judged for row in (each.evaluation, *each.results)]
    store.append([*rows, *figures])
    return judged, figures
