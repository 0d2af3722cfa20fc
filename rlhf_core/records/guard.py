"""Records of the guard against reward hacking, and of the repair of reward models.

A hack is what one policy found: the answers of its training that raised alarms.
"""

from typing import Any, ClassVar

from rlhf_core.records.base import Record


class GuardAlarm(Record):
    """A detector that rose above its threshold, in training or before promotion."""

    table: ClassVar[str] = "guard_alarms"
    model_id: str
    step: int
    """Step of the training; 0 for the evaluation before promotion."""
    detector: str
    value: float
    threshold: float
    kl: float
    """KL from the SFT model at that step, in nats an answer."""
    reward_gain: float | None = None
    """Mean reward minus that of the model the training began from, in the reward's unit."""
    held_out_gain: float | None = None
    """The same difference by the held-out judge, in its unit; null without an opinion."""
    action: str
    """stop or report: the value of guard.action."""
    reason: str
    evidence: tuple[str, ...] = ()
    """Ids of the rollouts, or of the candidates, that raised it."""

    def identity(self) -> tuple[Any, ...]:
        return (self.model_id, self.step, self.detector)


class GuardComparison(Record):
    """An answer that raised an alarm beside a baseline answer, as the repair's judges see them."""

    table: ClassVar[str] = "guard_comparisons"
    line: str
    cycle: int
    """The cycle that had them judged."""
    policy_id: str
    """The policy whose training gave the answer; it stands for the hack."""
    prompt_id: str
    ranking_id: str
    """The ranking of these two answers."""
    candidate_id: str
    """The answer, as a candidate."""
    opponent_id: str
    """The baseline answer."""
    outcome: str
    """worse, better or tied: the judges' view of the answer; unscored without one."""
    kept_aside: bool
    """True if no reward model learns from it, and every later one is tested on it."""

    def identity(self) -> tuple[Any, ...]:
        return (self.line, self.cycle, self.ranking_id)


class GuardTest(Record):
    """The test of a reward model on the comparisons of one hack that were kept aside."""

    table: ClassVar[str] = "guard_tests"
    line: str
    cycle: int
    model_id: str
    policy_id: str
    """The policy that stands for the hack."""
    data_hash: str
    """Hash of the comparisons."""
    copies: int
    """Times that it learnt from each of the hack's comparisons that were not kept aside."""
    prompts: int
    pairs: int
    preferred: float
    """Share of the pairs in which it scores the better answer higher, with prompts equal."""
    p: float
    """One-sided p-value of a sign test by prompt that it prefers the better answers."""
    passed: bool

    def identity(self) -> tuple[Any, ...]:
        return (self.line, self.model_id, self.policy_id, self.data_hash)


class RewordedVerdict(Record):
    """A judge's verdict between two answers before and after one of them was reworded.

    The rewording `order` changes no words: the answers are shown in the other order.
    """

    table: ClassVar[str] = "reworded_verdicts"
    policy_id: str
    prompt_id: str
    judge: str
    judge_version: str
    rewording: str
    """Name of the rewording; deploy/docs/guard.md lists them."""
    side: str
    """policy or baseline: whose answer was reworded, or compared with the baseline's by order."""
    candidate_id: str
    """The answer that was reworded."""
    opponent_id: str
    """The answer that it is compared with."""
    score_before: float | None = None
    """Score of the answer as it was; of a judge that compares, its probability to be better."""
    score_after: float | None = None
    """The same after the rewording."""
    opponent_score: float | None = None
    """Score of the other answer; null of a judge that compares."""
    turned: float | None = None
    """1 if the winner changed, 0.5 from or to a tie, else 0; null without both verdicts."""
    reason: str | None = None
    """Why there is no verdict after the rewording."""
    response_ids: tuple[str, ...] = ()
    latency_seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0

    def identity(self) -> tuple[Any, ...]:
        compared = (self.rewording, self.candidate_id, self.opponent_id)
        return (self.policy_id, self.judge_version, *compared)
