"""Comparison of policy and baseline on the same prompts by one judge."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rlhf_core.config.judge import DEFAULT_SCALE
from rlhf_core.config.tree import Config
from rlhf_core.evaluation.intervals import METHOD
from rlhf_core.evaluation.win_rate import win_rate
from rlhf_core.identity import content_id
from rlhf_core.preferences.votes import Votes
from rlhf_core.records import (
    Candidate,
    Evaluation,
    EvaluationResult,
    Judgement,
    Outcome,
    Prompt,
)

Answers = Mapping[str, Sequence[Candidate]]
"""Candidates of one model by prompt id, in sample order."""


ROUNDING = 1e-6
"""Relative difference of two scores that is rounding."""
REWARD_SCALE = 1.0
"""Scale of rewards: the reward model was trained with P = σ(difference)."""


class EvaluationJudge(NamedTuple):
    """A judge of an evaluation, with its role and the scale of its scores."""

    judge: str
    version: str
    role: str
    scale: float = DEFAULT_SCALE
    deviation: float = 0.0
    """Standard deviation of a score about the judge's mean on a question, measured by asking
    again; 0 for a judge that repeats itself."""

    @property
    def tolerance(self) -> float:
        """Largest difference of two scores that is a tie: the judge's own noise is as large.

        Two scores with independent errors differ by √2 deviations.
        """
        return math.sqrt(2) * self.deviation


@dataclass(frozen=True)
class ModelComparison:
    """Answers of policy and baseline to the same prompts, and the policy's KL from SFT."""

    prompts: Sequence[Prompt]
    policy: Answers
    baseline: Answers
    kl: float
    settings: str
    """Result of `settings_hash`: an id of everything that the evaluation depends on."""
    topics: Mapping[str, str] = field(default_factory=dict)
    """Topics of the prompts that have one, by prompt id."""

    def evaluate(
        self, config: Config, judgements: Sequence[Judgement], seat: EvaluationJudge
    ) -> "JudgedComparison":
        """Return the win rate, the mean scores and each comparison by one judge version.

        Args:
            config: Config of the run.
            judgements: Judgements of the answers, by any judges.
            seat: The judge whose judgements count.
        """
        margins = self._margins(config, judgements, seat)
        result = win_rate(margins, config.promotion.confidence)
        policy, baseline = _flat(self.policy), _flat(self.baseline)
        evaluation = Evaluation(
            policy_id=policy[0].model_id,
            baseline_id=baseline[0].model_id,
            judge=seat.judge,
            judge_version=seat.version,
            role=seat.role,
            settings=self.settings,
            prompts=result.prompts,
            comparisons=result.comparisons,
            unscored=result.unscored,
            win_rate=result.rate,
            win_rate_low=result.low,
            win_rate_high=result.high,
            policy_score=_mean_score(judgements, seat.version, policy),
            baseline_score=_mean_score(judgements, seat.version, baseline),
            policy_tokens=_mean([c.completion_tokens for c in policy]),
            baseline_tokens=_mean([c.completion_tokens for c in baseline]),
            policy_eos_rate=_mean([float(c.finish_reason == "eos") for c in policy]),
            kl=self.kl,
            tie_tolerance=seat.tolerance,
        )
        return JudgedComparison(evaluation, self._results(evaluation.id, margins))

    def _margins(
        self, config: Config, judgements: Sequence[Judgement], seat: EvaluationJudge
    ) -> list[list[float | None]]:
        """Return the margin of each comparison, by prompt."""
        votes = Votes(judgements, {seat.version: seat.scale})
        return [
            [
                margin_of(votes, seat, ours, theirs, config.preferences.tie_margin)
                for ours, theirs in self._pairs(prompt)
            ]
            for prompt in self.prompts
        ]

    def _results(
        self, evaluation_id: str, margins: Sequence[Sequence[float | None]]
    ) -> list[EvaluationResult]:
        return [
            EvaluationResult(
                evaluation_id=evaluation_id,
                prompt_id=prompt.id,
                sample=sample,
                policy_candidate_id=ours.id,
                baseline_candidate_id=theirs.id,
                margin=margin,
            )
            for prompt, row in zip(self.prompts, margins, strict=True)
            for sample, ((ours, theirs), margin) in enumerate(
                zip(self._pairs(prompt), row, strict=True)
            )
        ]

    def _pairs(self, prompt: Prompt) -> list[tuple[Candidate, Candidate]]:
        """Return the answers to compare: those of the same sample, of policy and baseline.

        Both were drawn with the same random numbers, so where the two models agree their answers
        are equal, and tied.
        """
        return list(zip(self.policy[prompt.id], self.baseline[prompt.id], strict=True))


class JudgedComparison(NamedTuple):
    """The comparison of two models by one judge: its figures, and each pair of answers."""

    evaluation: Evaluation
    results: list[EvaluationResult]


def margin_of(
    votes: Votes[Judgement],
    judge: EvaluationJudge,
    ours: Candidate,
    theirs: Candidate,
    tie_margin: float,
) -> float | None:
    """Return by how much a judge prefers our answer; 0 for a tie, None without an opinion.

    Identical texts are tied whatever their scores: in bf16 the score of a text varies slightly with
    its batch. So are two scores that differ by no more than the judge's own noise, or by rounding.

    Args:
        votes: Votes on both answers.
        judge: The judge.
        ours: The policy's answer.
        theirs: The baseline's answer.
        tie_margin: Largest margin of a tie, as in rankings.
    """
    opinions = votes.judgements_of(judge.version, ours.id, theirs.id)
    if ours.text == theirs.text:
        return 0.0 if opinions else None
    margin = votes.margin(judge.version, ours.id, theirs.id)
    if margin is None:
        return None
    return 0.0 if abs(margin) <= tie_margin or _is_noise(opinions, judge.tolerance) else margin


def _is_noise(opinions: Sequence[Judgement], tolerance: float) -> bool:
    """Return True if two scores differ by at most a tolerance, or by rounding."""
    scores = [each.score for each in opinions if each.opponent_id is None]
    if len(scores) < 2 or None in scores:
        return False
    one, other = (score or 0.0 for score in scores)
    return math.isclose(one, other, rel_tol=ROUNDING, abs_tol=tolerance)


def settings_hash(
    config: Config,
    prompts: Sequence[Prompt],
    seats: Sequence[EvaluationJudge],
    judgements: Sequence[Judgement],
) -> str:
    """Return an id of everything that an evaluation depends on besides the two models.

    It covers how answers are sampled, compared and counted, the judges with their roles, and their
    judgements. An evaluation is reused only if all of these are equal.

    Args:
        config: Config of the run.
        prompts: Held-out prompts, in any order.
        seats: All judges of the answers.
        judgements: Their judgements, in any order.
    """
    drawn = [
        config.evaluation.temperature,
        config.evaluation.samples_per_prompt,
        config.sampling.max_new_tokens,
        config.policy.system_prompt,
        config.seed,
    ]
    counted = [config.preferences.tie_margin, config.promotion.confidence, METHOD]
    prompt_ids, judgement_ids = (sorted(row.id for row in rows) for rows in (prompts, judgements))
    return content_id(
        "evaluation", drawn, counted, prompt_ids, [list(seat) for seat in seats], judgement_ids
    )


def _mean_score(
    judgements: Sequence[Judgement], version: str, candidates: Sequence[Candidate]
) -> float | None:
    ids = {candidate.id for candidate in candidates}
    scores = [
        judgement.score
        for judgement in judgements
        if judgement.judge_version == version
        and judgement.candidate_id in ids
        and judgement.outcome is Outcome.SCORED
        and judgement.score is not None
    ]
    return _mean(scores) if scores else None


def _flat(answers: Answers) -> list[Candidate]:
    return [candidate for group in answers.values() for candidate in group]


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)
