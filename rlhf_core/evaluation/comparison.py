"""Policy against baseline on the same prompts, as one judge sees them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from rlhf_core.algorithms.dpo import sequence_logprobs
from rlhf_core.config.tree import Config
from rlhf_core.evaluation.win_rate import win_rate
from rlhf_core.identity import content_id
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.preferences import Votes
from rlhf_core.records import Candidate, Evaluation, Judgement, Outcome, Prompt

Answers = Mapping[str, Sequence[Candidate]]
"""Candidates of one model by prompt id, in sample order."""


@dataclass(frozen=True)
class Comparison:
    """The answers of two models to the same prompts, and how far the one is from the SFT model."""

    prompts: Sequence[Prompt]
    policy: Answers
    baseline: Answers
    kl: float

    def evaluate(
        self, config: Config, judgements: Sequence[Judgement], judge: str, version: str, role: str
    ) -> Evaluation:
        """The win rate and mean scores by the judgements of one judge version."""
        votes = Votes(judgements)
        margins = [
            [
                votes.margin(version, ours.id, theirs.id)
                for ours, theirs in zip(
                    self.policy[prompt.id], self.baseline[prompt.id], strict=True
                )
            ]
            for prompt in self.prompts
        ]
        found = win_rate(
            margins,
            config.promotion.confidence,
            config.evaluation.bootstrap_resamples,
            config.seed,
        )
        policy, baseline = _flat(self.policy), _flat(self.baseline)
        return Evaluation(
            policy_id=policy[0].model_id,
            baseline_id=baseline[0].model_id,
            judge=judge,
            judge_version=version,
            role=role,
            settings=settings_hash(config, self.prompts),
            prompts=found.prompts,
            comparisons=found.comparisons,
            unscored=found.unscored,
            win_rate=found.rate,
            win_rate_low=found.low,
            win_rate_high=found.high,
            policy_score=_mean_score(judgements, version, policy),
            baseline_score=_mean_score(judgements, version, baseline),
            policy_tokens=_mean([c.completion_tokens for c in policy]),
            baseline_tokens=_mean([c.completion_tokens for c in baseline]),
            policy_eos_rate=_mean([float(c.finish_reason == "eos") for c in policy]),
            kl=self.kl,
        )


def settings_hash(config: Config, prompts: Sequence[Prompt]) -> str:
    """What an evaluation depends on besides the two models and the judge."""
    settings = config.evaluation.model_dump(mode="json", exclude={"judges"})
    ids = sorted(prompt.id for prompt in prompts)
    return content_id(settings, config.promotion.confidence, ids)


def sequence_kl(trunk: Trunk, sequences: Sequence[TokenSequence], temperature: float) -> Tensor:
    """Σ log π − log π_SFT over each answer of the policy: its mean is the KL, in nats, (N,)."""
    policy, reference = (
        sequence_logprobs(trunk, role, sequences, temperature)
        for role in (Role.POLICY, Role.REFERENCE)
    )
    return policy - reference


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
