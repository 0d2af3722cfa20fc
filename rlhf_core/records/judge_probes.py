"""Records of probes: questions that judges are asked again each cycle, to notice changes."""

from typing import Any, ClassVar

from rlhf_core.records.base import Outcome, Record


class JudgeProbe(Record):
    """A later verdict of a judge on a question that it has answered before."""

    table: ClassVar[str] = "judge_probes"
    line: str
    cycle: int
    judge: str
    judge_version: str
    judgement_id: str
    """The first verdict on that question."""
    outcome: Outcome
    score: float | None = None
    probability: float | None = None
    reason: str | None = None
    response_ids: tuple[str, ...] = ()
    latency_seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0

    def identity(self) -> tuple[Any, ...]:
        return (self.line, self.cycle, self.judgement_id)


class JudgeDrift(Record):
    """Change of a judge's verdicts on its probes until a cycle.

    The cycle in which probes are asked again for the first time only measures the judge's noise:
    its `p` is null.
    """

    table: ClassVar[str] = "judge_drifts"
    line: str
    cycle: int
    judge: str
    judge_version: str
    probes: int
    """Probes with a verdict in this cycle."""
    unavailable: int
    """Probes that the judge did not answer in this cycle."""
    noise: float | None
    """Mean distance between a first verdict and its repeat, 0 to 1."""
    deviation: float | None
    """Standard deviation of a verdict about the judge's mean on a question, in scores."""
    distance: float | None = None
    """Mean distance of this cycle's verdicts from the first and their repeats, 0 to 1."""
    shift: float | None = None
    """Mean score, or probability of the first answer, minus that of the earlier two."""
    p: float | None = None
    """p-value of no change, by Holm's correction over the judges of the stage."""
    drifted: bool
    reason: str

    def identity(self) -> tuple[Any, ...]:
        return (self.line, self.cycle, self.judge_version)
