"""Verdicts on reworded answers before promotion: does what wins hang on its form?

The judges that a policy was trained on, and the reward model, judge held-out answers again, with
one of two answers reworded (rlhf_core/guard/rewording.py) or both shown in the other order. What a
policy exploits is in its own answers only, so their verdicts turn more often than the baseline's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flows.cycle.cycle import TRAINED_ON, Cycle
from flows.cycle.estimates import CycleWork, Row
from flows.cycle.judgements import judge_missing
from flows.cycle.ledger import StoreLedger
from flows.cycle.probes import evaluation_judge
from flows.cycle.silence import PanelistSilence
from flows.guard.judging import first_probability
from flows.guard.rewording import (
    ORDER,
    AnswerPairs,
    Answers,
    Reworded,
    reordered_answers,
    reworded_answers,
)
from flows.terminal.progress import progress
from judges.panel.panel import JudgementTask, Panelist, ranking_tasks
from rlhf_core.algorithms.scoring import score_sequences
from rlhf_core.config import Config
from rlhf_core.config.tree import rewarding_judges
from rlhf_core.distributed.collective import on_all_ranks
from rlhf_core.evaluation.comparison import REWARD_SCALE, EvaluationJudge
from rlhf_core.guard.flips import margin_between, turned
from rlhf_core.guard.rewording import REWORDINGS
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.preferences.votes import OPINIONS
from rlhf_core.records import PROXY, Judgement, Outcome, RewordedVerdict
from rlhf_core.store import Store, queries
from rlhf_core.store.judge_probes import deviations_until

SEQUENCES_PER_SHARD = 128


@dataclass(frozen=True)
class Scores:
    """Scores of an answer before and after its rewording; None without an opinion.

    Those of a judge that compares are its probabilities that the answer is better.
    """

    before: float | None
    after: float | None
    opponent: float | None = None
    """Score of the other answer; None of a judge that compares."""


def trained_on_panelists(config: Config, ledger: StoreLedger | None = None) -> list[Panelist]:
    """Return the judges of training data and reward that judge reworded answers, each once.

    Args:
        config: Config of the run.
        ledger: Cache of earlier model replies.
    """
    trained_on = (*config.judges, *rewarding_judges(config.training))
    panelists = [Panelist(judge, ledger) for judge in trained_on if judge.weight > 0]
    if config.guard.reworded_judges == "free":
        panelists = [each for each in panelists if _is_free(each)]
    return list({each.version: each for each in panelists}.values())


def judge_reworded(
    cycle: Cycle,
    store: Store,
    policy_id: str,
    compared: AnswerPairs,
    policy: Answers,
    baseline: Answers,
) -> list[str]:
    """Add the missing verdicts of the judges that a policy was trained on.

    Args:
        cycle: The cycle under way.
        store: Receives the verdicts.
        policy_id: The policy that is evaluated.
        compared: Two answers to each prompt.
        policy: Answers of the policy, by prompt id.
        baseline: Answers of the baseline, by prompt id.

    Returns:
        The versions of these judges.

    Raises:
        SilentJudgeError: If too many verdicts of a judge are missing or unreadable.
    """
    reworded = reworded_answers(compared)
    reordered = reordered_answers(compared, policy, baseline)
    ledger = StoreLedger(store, cycle.budget, compute=cycle.config.compute)
    deviations = deviations_until(store, cycle.line, cycle.number)
    panelists = trained_on_panelists(cycle.config, ledger)
    for panelist in panelists:
        asked = [*reworded, *reordered] if panelist.is_pairwise else reworded
        before = _scores_before(cycle, store, ledger, panelist, compared)
        seat = evaluation_judge(panelist, TRAINED_ON, deviations)
        silence = PanelistSilence(panelist, cycle.config.judging)
        missing = [
            each
            for each in _missing(store, policy_id, panelist.version, asked)
            if each.prompt.mode in panelist.settings.modes
        ]
        size = max(1, panelist.batch // 2)
        for start in range(0, len(missing), size):
            judged = _judged(store, panelist, missing[start : start + size])
            store.append(
                _row(cycle.config, policy_id, seat, one, _scores(one, verdicts, before), verdicts)
                for one, verdicts in judged
                if all(each.outcome is not Outcome.UNAVAILABLE for each in verdicts)
            )
            ledger.flush()
            silence.count(
                (each.outcome, each.reason, each.raw_output)
                for _, verdicts in judged
                for each in verdicts
            )
            silence.check(is_over=False)
        silence.check(is_over=True)
    return [panelist.version for panelist in panelists]


def score_reworded(
    config: Config,
    store: Store,
    policy_id: str,
    reward_id: str,
    trunk: Trunk,
    chat: ChatFormat,
    compared: AnswerPairs,
) -> None:
    """Add the missing verdicts of the reward model.

    The answers as they were are read by their text, too, so that other tokens of the same words
    are no rewording.

    Args:
        config: Config of the run.
        store: Receives the verdicts.
        policy_id: The policy that is evaluated.
        reward_id: The reward model.
        trunk: Holds the reward role.
        chat: Chat format of the line's models.
        compared: Two answers to each prompt.
    """
    missing = _missing(store, policy_id, reward_id, reworded_answers(compared))
    if not missing:
        return
    texts = {
        (one.prompt.id, text, answer.is_finished): one.prompt
        for one in missing
        for answer, text in (
            (one.answer, one.text),
            (one.answer, one.answer.text),
            (one.opponent, one.opponent.text),
        )
    }
    sequences = [
        TokenSequence(
            tuple(chat.prompt_ids(prompt.conversation)), tuple(chat.answer_ids(text, is_finished))
        )
        for (_, text, is_finished), prompt in texts.items()
    ]
    scored: list[float] = []
    with progress("scoring reworded answers", len(sequences)) as advance:
        for start in range(0, len(sequences), SEQUENCES_PER_SHARD):
            shard = sequences[start : start + SEQUENCES_PER_SHARD]
            scored += on_all_ranks(score_sequences, trunk, shard, Role.REWARD).tolist()
            advance(len(shard), "")
    score = dict(zip(texts, scored, strict=True))
    seat = EvaluationJudge(PROXY, reward_id, PROXY, REWARD_SCALE)
    rows = []
    for one in missing:
        ours, theirs = one.answer, one.opponent
        scores = Scores(
            score[one.prompt.id, ours.text, ours.is_finished],
            score[one.prompt.id, one.text, ours.is_finished],
            score[one.prompt.id, theirs.text, theirs.is_finished],
        )
        rows.append(_row(config, policy_id, seat, one, scores, ()))
    store.append(rows)


def verdicts_on(
    store: Store, policy_id: str, answers: Sequence[Answers], versions: Sequence[str]
) -> list[RewordedVerdict]:
    """Return the stored verdicts on some answers before and after rewording.

    Args:
        store: The store.
        policy_id: The policy that is evaluated.
        answers: Answers of policy and baseline, each by prompt id.
        versions: Versions of the judges.
    """
    ids = [answer.id for side in answers for group in side.values() for answer in group]
    return store.rows(
        RewordedVerdict,
        "policy_id = $1 AND candidate_id IN (SELECT unnest($2)) AND opponent_id IN "
        "(SELECT unnest($2)) AND judge_version IN (SELECT unnest($3))",
        [policy_id, ids, list(versions)],
    )


def estimate_reworded(work: CycleWork) -> list[Row]:
    """Estimate the judgements and scores of reworded answers, at most."""
    guard, samples = work.config.guard, work.config.evaluation.samples_per_prompt
    if guard.action == "off" or not guard.reworded_prompts:
        return []
    rows = []
    for panelist in trained_on_panelists(work.config):
        judged = [prompt for prompt in work.holdout if prompt.mode in panelist.settings.modes]
        calls = 2 * len(REWORDINGS)
        if panelist.is_pairwise:
            calls = 2 * calls + (4 if samples > 1 else 0)
        calls *= min(len(judged), guard.reworded_prompts)
        row = work.judgements("evaluate", panelist, calls)
        what = f"{row.what} of reworded answers, at most"
        rows.append(Row(row.stage, what, row.count, row.seconds, row.cost_usd))
    texts = (2 + 2 * len(REWORDINGS)) * min(len(work.holdout), guard.reworded_prompts)
    seconds = work.sizes.forward(texts * (work.sizes.prompt + work.sizes.answer))
    return [*rows, Row("evaluate", "scores of reworded answers, at most", texts, seconds)]


def _is_free(panelist: Panelist) -> bool:
    """Return True for a judge that runs no model."""
    load = panelist.workload(1.0, 1.0)
    return not panelist.is_remote and load.tokens == 0 and load.cost_usd == 0


def _missing(
    store: Store, policy_id: str, version: str, asked: Sequence[Reworded]
) -> list[Reworded]:
    """Return the rewordings that a judge has no verdict on."""
    where = "policy_id = ? AND judge_version = ?"
    rows = store.rows(RewordedVerdict, where, [policy_id, version])
    known = {(row.rewording, row.candidate_id, row.opponent_id) for row in rows}
    return [
        each for each in asked if (each.rewording, each.answer.id, each.opponent.id) not in known
    ]


def _scores_before(
    cycle: Cycle, store: Store, ledger: StoreLedger, panelist: Panelist, compared: AnswerPairs
) -> dict[tuple[str, str | None], float]:
    """Return the scores of the answers as they were, by answer and opponent.

    A judge of the panel has judged them already; one that is part of the reward alone does so now.
    """

    def tasks_for(panelist: Panelist) -> list[JudgementTask]:
        return [task for prompt, *two in compared for task in ranking_tasks(panelist, prompt, two)]

    limits = cycle.config.judging
    judge_missing(store, ledger, [panelist], tasks_for, "judging before rewording", limits)
    ids = {answer.id for _, *two in compared for answer in two}
    return {
        (each.candidate_id, each.opponent_id): score
        for each in queries.judgements_of(store, ids, [panelist.version])
        if (score := _score(each)) is not None
    }


def _judged(
    store: Store, panelist: Panelist, asked: Sequence[Reworded]
) -> list[tuple[Reworded, list[Judgement]]]:
    """Return the judgements of each comparison: one of the answer alone, or one in each order."""
    tasks = [task for each in asked for task in each.tasks]
    if not panelist.is_pairwise:
        tasks = [JudgementTask(task.prompt, task.candidate) for task in tasks[::2]]
    size = len(tasks) // len(asked)
    verdicts = panelist.judge(tasks, store.run_id)
    return [(each, verdicts[place * size : (place + 1) * size]) for place, each in enumerate(asked)]


def _scores(
    one: Reworded,
    verdicts: Sequence[Judgement],
    before: Mapping[tuple[str, str | None], float],
) -> Scores:
    answer, opponent = one.answer.id, one.opponent.id
    if len(verdicts) == 1:
        return Scores(before.get((answer, None)), _score(verdicts[0]), before.get((opponent, None)))
    first, second = _score(verdicts[0]), _reverse(_score(verdicts[1]))
    if one.rewording == ORDER:
        return Scores(first, second)
    usual = before.get((answer, opponent)), _reverse(before.get((opponent, answer)))
    return Scores(_mean(*usual), _mean(first, second))


def _score(judgement: Judgement) -> float | None:
    """Return the score, or the probability that the first answer is better; None without one."""
    if judgement.outcome not in OPINIONS:
        return None
    return judgement.score if judgement.opponent_id is None else first_probability(judgement)


def _reverse(probability: float | None) -> float | None:
    return None if probability is None else 1 - probability


def _mean(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else (one + other) / 2


def _row(
    config: Config,
    policy_id: str,
    seat: EvaluationJudge,
    one: Reworded,
    scores: Scores,
    verdicts: Sequence[Judgement],
) -> RewordedVerdict:
    margins = [
        margin_between(
            score, scores.opponent, seat.scale, seat.tolerance, config.preferences.tie_margin
        )
        for score in (scores.before, scores.after)
        if score is not None and (scores.opponent is not None or len(verdicts) == 2)
    ]
    return RewordedVerdict(
        policy_id=policy_id,
        prompt_id=one.prompt.id,
        judge=seat.judge,
        judge_version=seat.version,
        rewording=one.rewording,
        side=one.side,
        candidate_id=one.answer.id,
        opponent_id=one.opponent.id,
        score_before=scores.before,
        score_after=scores.after,
        opponent_score=scores.opponent,
        turned=turned(*margins) if len(margins) == 2 else None,
        reason="; ".join(each.reason for each in verdicts if each.reason) or None,
        response_ids=tuple(name for each in verdicts for name in each.response_ids),
        latency_seconds=sum(each.latency_seconds for each in verdicts),
        prompt_tokens=sum(each.prompt_tokens for each in verdicts),
        completion_tokens=sum(each.completion_tokens for each in verdicts),
        cost_usd=sum(each.cost_usd for each in verdicts),
    )
