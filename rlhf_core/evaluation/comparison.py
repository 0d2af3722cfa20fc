"""Policy against baseline on the same prompts, as one judge sees them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rlhf_core.config.judge import DEFAULT_SCALE
from rlhf_core.config.tree import Config
from rlhf_core.evaluation.intervals import METHOD
from rlhf_core.evaluation.win_rate import win_rate
from rlhf_core.identity import content_id
from rlhf_core.preferences.ranking import Votes
from rlhf_core.records import Candidate, Evaluation, Judgement, Outcome, Prompt

Answers = Mapping[str, Sequence[Candidate]]
"""Candidates of one model by prompt id, in sample order."""


REWARD_SCALE = 1.0
"""Of rewards: that the reward model was trained by, with P = σ(difference)."""


class Seat(NamedTuple):
    """Who looks at the answers, in which role, and the scale of its scores."""

    judge: str
    version: str
    role: str
    scale: float = DEFAULT_SCALE


@dataclass(frozen=True)
class Comparison:
    """The answers of two models to the same prompts, and how far the one is from the SFT model."""

    prompts: Sequence[Prompt]
    policy: Answers
    baseline: Answers
    kl: float
    settings: str
    """What it depends on, by `settings_hash`."""

    def evaluate(self, config: Config, judgements: Sequence[Judgement], seat: Seat) -> Evaluation:
        """Return the win rate and mean scores by the judgements of one judge version."""
        votes = Votes(judgements, {seat.version: seat.scale})
        margins = [
            [
                margin_of(votes, seat.version, ours, theirs, config.preferences.tie_margin)
                for ours, theirs in zip(
                    self.policy[prompt.id], self.baseline[prompt.id], strict=True
                )
            ]
            for prompt in self.prompts
        ]
        found = win_rate(margins, config.promotion.confidence)
        policy, baseline = _flat(self.policy), _flat(self.baseline)
        return Evaluation(
            policy_id=policy[0].model_id,
            baseline_id=baseline[0].model_id,
            judge=seat.judge,
            judge_version=seat.version,
            role=seat.role,
            settings=self.settings,
            prompts=found.prompts,
            comparisons=found.comparisons,
            unscored=found.unscored,
            win_rate=found.rate,
            win_rate_low=found.low,
            win_rate_high=found.high,
            policy_score=_mean_score(judgements, seat.version, policy),
            baseline_score=_mean_score(judgements, seat.version, baseline),
            policy_tokens=_mean([c.completion_tokens for c in policy]),
            baseline_tokens=_mean([c.completion_tokens for c in baseline]),
            policy_eos_rate=_mean([float(c.finish_reason == "eos") for c in policy]),
            kl=self.kl,
        )


def margin_of(
    votes: Votes[Judgement], version: str, ours: Candidate, theirs: Candidate, tie_margin: float
) -> float | None:
    """Return by how much a judge prefers our answer; 0 for a tie, None where it has no opinion.

    Identical texts are tied whatever the scores are: in bf16 the same text is scored a little
    differently in another batch.

    Args:
        votes: What was said of both answers.
        version: Of the judge.
        ours: The policy's answer.
        theirs: The baseline's answer.
        tie_margin: Answers whose margin is no larger are tied, as in rankings.
    """
    if ours.text == theirs.text:
        return 0.0 if votes.behind(version, ours.id, theirs.id) else None
    margin = votes.margin(version, ours.id, theirs.id)
    return 0.0 if margin is not None and abs(margin) <= tie_margin else margin


def settings_hash(
    config: Config,
    prompts: Sequence[Prompt],
    seats: Sequence[Seat],
    judgements: Sequence[Judgement],
) -> str:
    """Return the id of what an evaluation depends on besides the two models.

    How answers are drawn, compared and counted, who looks at them in which role, and what they
    said: an evaluation is taken up again only where all of that is the same.

    Args:
        config: Of the run.
        prompts: Held-out ones, in any order.
        seats: Everyone who looks at the answers.
        judgements: By them, in any order.
    """
    drawn = [
        config.evaluation.temperature,
        config.evaluation.samples_per_prompt,
        config.sampling.max_new_tokens,
        config.policy.system_prompt,
        config.seed,
    ]
    counted = [config.preferences.tie_margin, config.promotion.confidence, METHOD]
    asked, said = (sorted(row.id for row in rows) for rows in (prompts, judgements))
    return content_id("evaluation", drawn, counted, asked, [list(seat) for seat in seats], said)


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
