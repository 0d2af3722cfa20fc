"""The guard's held-out judge: it compares the answers of a step with those of the baseline."""

import math
from collections.abc import Mapping, Sequence

from flows.cycle.judgements import judge_batch, record_judge_models
from flows.cycle.ledger import StoreLedger
from flows.cycle.silence import PanelistSilence
from flows.guard.answers import as_candidate
from judges.panel.panel import JudgementTask, Panelist, ranking_tasks
from rlhf_core.config import Config
from rlhf_core.config.tree import guarding_judge
from rlhf_core.preferences.votes import OPINIONS
from rlhf_core.records import (
    Candidate,
    Judgement,
    Outcome,
    Presented,
    Prompt,
    RolloutRecord,
    RolloutVerdict,
)
from rlhf_core.store import Store, queries

CERTAIN = {Outcome.FIRST: 1.0, Outcome.TIE: 0.5, Outcome.SECOND: 0.0}
"""Probabilities that the first answer is better, of a verdict that names none."""


class HeldOutJudge:
    """Judges the answers of a training against baseline answers to the same prompts.

    A judge that scores does so for each answer, and once for each baseline answer. A judge that
    compares sees each answer beside one baseline answer, in both orders.

    Args:
        config: Config of the run.
        store: Receives the verdicts; known ones are not asked for again.
        ledger: Ledger of the run.
        prompts: Prompts of the training, by id.
        baseline: Answers of the model that the training begins from, by prompt id.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        ledger: StoreLedger,
        prompts: Mapping[str, Prompt],
        baseline: Mapping[str, Sequence[Candidate]],
    ) -> None:
        self.panelist = Panelist(guarding_judge(config), ledger)
        self.store, self.ledger = store, ledger
        self.prompts, self.baseline = prompts, baseline
        self._silence = PanelistSilence(self.panelist, config.judging)
        self.panelist.check()
        self.panelist.preflight()
        record_judge_models(store, {self.panelist.version: self.panelist.models})

    def gains(self, rollouts: Sequence[RolloutRecord]) -> list[float]:
        """Return each answer's gain over the baseline; NaN without an opinion.

        Raises:
            SilentJudgeError: If too many verdicts are missing or unreadable.
        """
        verdicts = self._verdicts(rollouts)
        scores = [_mean_score(verdicts.get(rollout.id, [])) for rollout in rollouts]
        if self.panelist.is_pairwise:
            gains = [score - 0.5 for score in scores]
        else:
            usual = self._usual_scores({rollout.prompt_id for rollout in rollouts})
            both = zip(rollouts, scores, strict=True)
            gains = [score - usual[rollout.prompt_id] for rollout, score in both]
        self.ledger.flush()
        self._silence.check(is_over=False)
        return gains

    def close(self) -> None:
        """Check at the end how many verdicts were missing.

        Raises:
            SilentJudgeError: If they were too many.
        """
        self._silence.check(is_over=True)

    def _verdicts(self, rollouts: Sequence[RolloutRecord]) -> dict[str, list[RolloutVerdict]]:
        """Return the judge's verdicts by rollout id, after those that are missing were made."""
        known = self.store.rows(
            RolloutVerdict,
            "judge_version = ? AND outcome <> ? AND rollout_id IN (SELECT unnest(?))",
            [self.panelist.version, Outcome.UNAVAILABLE.value, [each.id for each in rollouts]],
        )
        done = {(each.rollout_id, each.opponent_id, each.presented) for each in known}
        wanted = [(each, task) for each in rollouts for task in self._tasks(each)]
        missing = [(each, task) for each, task in wanted if _place(each, task) not in done]
        new = []
        for start in range(0, len(missing), self.panelist.batch):
            part = missing[start : start + self.panelist.batch]
            judgements = self.panelist.judge([task for _, task in part], self.store.run_id)
            new += [
                _verdict(each, task, judgement)
                for (each, task), judgement in zip(part, judgements, strict=True)
            ]
        self.store.append(new)
        self._silence.count((each.outcome, each.reason, each.raw_output) for each in new)
        verdicts: dict[str, list[RolloutVerdict]] = {}
        for verdict in (*known, *new):
            verdicts.setdefault(verdict.rollout_id, []).append(verdict)
        return verdicts

    def _tasks(self, rollout: RolloutRecord) -> list[JudgementTask]:
        """Return the judgements of an answer that its judge makes: one, or one in each order."""
        prompt = self.prompts[rollout.prompt_id]
        if prompt.mode not in self.panelist.settings.modes:
            return []
        own = as_candidate(rollout)
        if not self.panelist.is_pairwise:
            return [JudgementTask(prompt, own)]
        others = self.baseline.get(rollout.prompt_id, [])
        if not others:
            return []
        other = others[rollout.row % len(others)]
        return [JudgementTask(prompt, own, other), JudgementTask(prompt, other, own)]

    def _usual_scores(self, prompt_ids: set[str]) -> dict[str, float]:
        """Return the mean score of the baseline answers to each prompt; NaN without an opinion."""
        groups = {name: self.baseline.get(name, []) for name in sorted(prompt_ids)}
        tasks = [
            task
            for name, group in groups.items()
            for task in ranking_tasks(self.panelist, self.prompts[name], group)
        ]
        ids = {candidate.id for group in groups.values() for candidate in group}
        missing = self.panelist.missing(tasks, queries.answered_judgements(self.store, ids))
        for start in range(0, len(missing), self.panelist.batch):
            part = missing[start : start + self.panelist.batch]
            _, new = judge_batch(self.store, self.panelist, part)
            self._silence.count((each.outcome, each.reason, each.raw_output) for each in new)
        scores = {
            judgement.candidate_id: judgement.score
            for judgement in queries.judgements_of(self.store, ids, [self.panelist.version])
            if judgement.score is not None
        }
        return {
            name: _mean([scores[each.id] for each in group if each.id in scores])
            for name, group in groups.items()
        }


def _place(rollout: RolloutRecord, task: JudgementTask) -> tuple[str, str | None, Presented]:
    """Return what tells a verdict on an answer from the others: rollout, opponent and order."""
    if task.opponent is None:
        return rollout.id, None, Presented.ALONE
    other = task.opponent if task.presented is Presented.FORWARD else task.candidate
    return rollout.id, other.id, task.presented


def _verdict(rollout: RolloutRecord, task: JudgementTask, judgement: Judgement) -> RolloutVerdict:
    _, opponent_id, presented = _place(rollout, task)
    return RolloutVerdict(
        model_id=rollout.model_id,
        rollout_id=rollout.id,
        judge=judgement.judge,
        judge_version=judgement.judge_version,
        role="guard",
        opponent_id=opponent_id,
        presented=presented,
        outcome=judgement.outcome,
        score=_score(judgement, presented),
        raw_output=judgement.raw_output,
        reason=judgement.reason,
        response_ids=judgement.response_ids,
        latency_seconds=judgement.latency_seconds,
        prompt_tokens=judgement.prompt_tokens,
        completion_tokens=judgement.completion_tokens,
        cost_usd=judgement.cost_usd,
    )


def _score(judgement: Judgement, presented: Presented) -> float | None:
    """Return the score, or the probability that the policy's answer is the better one."""
    if judgement.outcome not in OPINIONS or presented is Presented.ALONE:
        return judgement.score
    probability = first_probability(judgement)
    return probability if presented is Presented.FORWARD else 1 - probability


def first_probability(judgement: Judgement) -> float:
    """Return the probability that the first of two answers is better, of a readable verdict."""
    if judgement.probability is not None:
        return judgement.probability
    return CERTAIN[judgement.outcome]


def _mean_score(verdicts: Sequence[RolloutVerdict]) -> float:
    """Return the mean score; NaN unless every order has one."""
    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    orders = 1 if any(each.presented is Presented.ALONE for each in verdicts) else 2
    return _mean(scores) if len(scores) == orders else math.nan


def _mean(values: Sequence[float]) -> float:
    """Return the mean; NaN of no values."""
    return sum(values) / len(values) if values else math.nan
