"""Comparison of a policy with another model by all judges of the evaluation.

The store also keeps how the training judges and the reward model score the same answers. If their
scores rise and the deciding judge's do not, the policy has learnt to exploit them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from flows.cycle.cycle import DECIDES, REPORTS, TRAINED_ON, Cycle
from flows.cycle.judgements import judge_missing
from flows.cycle.probes import evaluation_judge
from judges import Ledger
from judges.panel.panel import JudgementTask, Panelist, ranking_tasks
from rlhf_core.algorithms.scoring import score_sequences
from rlhf_core.config import Config, JudgeSettings
from rlhf_core.distributed.collective import on_all_ranks
from rlhf_core.evaluation.abstention_table import abstention_figures
from rlhf_core.evaluation.aspects import aspect_figures
from rlhf_core.evaluation.comparison import (
    REWARD_SCALE,
    Answers,
    EvaluationJudge,
    JudgedComparison,
    ModelComparison,
    settings_hash,
)
from rlhf_core.evaluation.evaluation_figures import evaluation_figures
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.preferences.votes import OPINIONS
from rlhf_core.records import PROXY, Candidate, Evaluation, Judgement, Outcome, Prompt, Record
from rlhf_core.store import Store, line_queries, queries
from rlhf_core.store.judge_probes import deviations_until
from rlhf_core.store.topics import topics_of

JudgeRoles = dict[Panelist, str]
"""All judges of the answers, with their roles.

The first judge of the config's evaluation decides, its other judges are reported. The training
judges and the reward model show what the policy was optimised for.
"""


class Models(Protocol):
    """The reward model of an evaluation, loaded when first needed."""

    reward_id: str

    @property
    def trunk(self) -> Trunk:
        """The trunk that holds it."""

    def sequences(self, asked: Iterable[tuple[Prompt, Candidate]]) -> list[TokenSequence]:
        """Return answers to prompts as tokens."""


@dataclass(frozen=True)
class Compared:
    """A policy beside another model, by all judges."""

    evaluations: list[Evaluation]
    """One a judge, the deciding judge first."""
    comparison: ModelComparison | None
    """The comparison if it is new; None if it was stored."""
    rows: list[Record]
    """The rows to store if it is new: evaluations, each comparison and figures."""


def compare_models(
    cycle: Cycle,
    store: Store,
    models: Models,
    ledger: Ledger,
    prompts: Sequence[Prompt],
    policy: Answers,
    other: Answers,
    kl: Callable[[], float],
) -> Compared:
    """Compare a policy's answers with those of another model; judge what no judge has judged.

    Args:
        cycle: The cycle under way.
        store: Receives judgements; evaluations are left to the caller.
        models: The reward model.
        ledger: Cache of earlier model replies.
        prompts: Held-out prompts that both answered.
        policy: Answers of the policy, by prompt id.
        other: Answers of the other model, as many.
        kl: Returns the KL divergence of the policy from the SFT model.

    Returns:
        The evaluations; stored ones of the same answers and judgements are not made again.

    Raises:
        SilentJudgeError: If too many verdicts of a judge are missing.
    """
    config, panel = cycle.config, evaluation_panel(cycle, ledger)
    policy = {prompt.id: policy[prompt.id] for prompt in prompts}

    def tasks_for(panelist: Panelist) -> list[JudgementTask]:
        return [
            task
            for prompt in prompts
            for ours, theirs in zip(policy[prompt.id], other[prompt.id], strict=True)
            for task in ranking_tasks(panelist, prompt, [ours, theirs])
        ]

    judge_missing(store, ledger, list(panel), tasks_for, "evaluating", config.judging)
    _score_missing(store, models, prompts, [policy, other])
    seats = _seats(panel, models, deviations_until(store, cycle.line, cycle.number))
    judgements, asked = _judgements(store, [policy, other], seats)
    settings = settings_hash(config, prompts, seats, judgements)
    ids = [answers[prompts[0].id][0].model_id for answers in (policy, other)]
    stored = _stored_evaluations(store, ids[0], ids[1], settings, seats)
    if stored:
        return Compared(stored, None, [])
    topics = topics_of(store, policy)
    comparison = ModelComparison(prompts, policy, other, kl(), settings, topics)
    judged = [comparison.evaluate(config, judgements, seat) for seat in seats]
    evaluations = [each.evaluation for each in judged]
    return Compared(
        evaluations, comparison, [*evaluations, *_details(config, comparison, judged, asked)]
    )


def evaluation_panel(cycle: Cycle, ledger: Ledger) -> JudgeRoles:
    """Return all judges of an evaluation but the reward model.

    Args:
        cycle: The cycle under way.
        ledger: Cache of earlier model replies.
    """
    config = cycle.config
    panel = {
        Panelist(settings, ledger): REPORTS if number else DECIDES
        for number, settings in enumerate(config.evaluation.judges)
    }
    seen = {panelist.version for panelist in panel}
    for settings in config.judges:
        panelist = Panelist(settings, ledger)
        if panelist.version not in seen:
            panel[panelist] = TRAINED_ON if settings.weight > 0 else REPORTS
    return panel


def held_out_only(config: Config) -> list[JudgeSettings]:
    """Return the judges of the evaluation that the judge stage has not probed."""
    probed = {judge.identity for judge in config.judges}
    return [judge for judge in config.evaluation.judges if judge.identity not in probed]


def _score_missing(
    store: Store, models: Models, prompts: Sequence[Prompt], answers: Sequence[Answers]
) -> None:
    """Store the reward model's missing scores of the answers, as judgements in its own units."""
    for group in answers:
        by_id = {each.id: (prompt, each) for prompt in prompts for each in group[prompt.id]}
        candidates = [candidate for _, candidate in by_id.values()]
        blank = [_reward_judgement(candidate, models.reward_id, 0.0) for candidate in candidates]
        known = queries.known_ids(store, Judgement.table, [judgement.id for judgement in blank])
        if all(judgement.id in known for judgement in blank):
            continue
        sequences = models.sequences(by_id.values())
        scores = on_all_ranks(score_sequences, models.trunk, sequences, Role.REWARD)
        store.append(
            _reward_judgement(candidate, models.reward_id, score)
            for candidate, score in zip(candidates, scores.tolist(), strict=True)
        )


def _reward_judgement(candidate: Candidate, reward_id: str, score: float) -> Judgement:
    return Judgement(
        prompt_id=candidate.prompt_id,
        judge=PROXY,
        judge_version=reward_id,
        candidate_id=candidate.id,
        outcome=Outcome.SCORED,
        score=score,
    )


def _seats(
    panel: JudgeRoles, models: Models, deviations: Mapping[str, float]
) -> list[EvaluationJudge]:
    """Return all judges of the answers, including the reward model, with their own noise."""
    judges = [evaluation_judge(panelist, role, deviations) for panelist, role in panel.items()]
    return [*judges, EvaluationJudge(PROXY, models.reward_id, PROXY, REWARD_SCALE)]


def _judgements(
    store: Store, answers: Sequence[Answers], seats: Sequence[EvaluationJudge]
) -> tuple[list[Judgement], list[Judgement]]:
    """Return the judgements of these answers that are opinions, and all of them."""
    ids = {c.id for side in answers for group in side.values() for c in group}
    asked = [
        judgement
        for judgement in queries.judgements_of(store, ids, [seat.version for seat in seats])
        if judgement.opponent_id is None or judgement.opponent_id in ids
    ]
    return [judgement for judgement in asked if judgement.outcome in OPINIONS], asked


def _details(
    config: Config,
    comparison: ModelComparison,
    judged: Sequence[JudgedComparison],
    judgements: Sequence[Judgement],
) -> list[Record]:
    """Return each comparison, and the figures beside the win rates."""
    confidence = config.promotion.confidence
    rows: list[Record] = [result for each in judged for result in each.results]
    for each in judged:
        version = each.evaluation.judge_version
        own = [judgement for judgement in judgements if judgement.judge_version == version]
        rows += evaluation_figures(comparison, each, confidence)
        for figures in (abstention_figures, aspect_figures):
            rows += figures(
                each.evaluation.id, comparison.policy, comparison.baseline, own, confidence
            )
    return rows


def _stored_evaluations(
    store: Store, policy_id: str, baseline_id: str, settings: str, seats: Sequence[EvaluationJudge]
) -> list[Evaluation]:
    """Return the evaluations of an earlier run if all of them are there, else none."""
    stored = {
        (evaluation.judge, evaluation.judge_version, evaluation.role): evaluation
        for evaluation in line_queries.evaluations_of(store, policy_id, baseline_id)
        if evaluation.settings == settings
    }
    wanted = [(seat.judge, seat.version, seat.role) for seat in seats]
    return [stored[key] for key in wanted] if all(key in stored for key in wanted) else []
