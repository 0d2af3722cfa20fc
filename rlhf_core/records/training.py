"""Records of training: models, their inputs, metrics, evaluations and promotions."""

from functools import cached_property
from typing import Any, ClassVar

from pydantic import computed_field

from rlhf_core.identity import content_id
from rlhf_core.records.base import InputRole, ModelKind, Outcome, Presented, Record


class ModelVersion(Record):
    """A model, identified by its recipe, parent and data, not by its weights.

    Its id is the name of its folder among the artifacts.
    """

    table: ClassVar[str] = "models"
    kind: ModelKind
    base: str
    parent_id: str | None = None
    recipe: str
    data_hash: str = ""
    seed: int = 0
    config_hash: str

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def id(self) -> str:
        return f"{self.kind}-{content_id(self.table, *self.identity())}"

    def identity(self) -> tuple[Any, ...]:
        return (self.kind, self.base, self.parent_id, self.recipe, self.data_hash, self.seed)


class ModelInput(Record):
    """One row that went into a model, and its role: usually a row that the model learnt from.

    The row is a prompt, a ranking or another model; it may also be a file of texts.
    """

    table: ClassVar[str] = "model_inputs"
    model_id: str
    input_table: str
    input_id: str
    role: InputRole = InputRole.LEARNT

    def identity(self) -> tuple[Any, ...]:
        # Rows written before roles existed keep their ids.
        role = () if self.role is InputRole.LEARNT else (self.role,)
        return (self.model_id, self.input_id, *role)


class JudgeModel(Record):
    """A judge version that uses a model of this store."""

    table: ClassVar[str] = "judge_models"
    judge_version: str
    model_id: str

    def identity(self) -> tuple[Any, ...]:
        return (self.judge_version, self.model_id)


class RolloutRecord(Record):
    """An answer that the policy gave during training, and its reward."""

    table: ClassVar[str] = "rollouts"
    model_id: str
    step: int
    row: int
    prompt_id: str
    text: str | None
    """Null once `solon gc` has dropped it; artifact_removals has the decision."""
    score: float | None
    """Null if a judge in the reward has no opinion; nothing is learnt from such an answer."""
    kl: float
    completion_tokens: int
    finish_reason: str
    engine: str = "local"
    """Engine that sampled it: local, or vllm with its version."""
    parts: str | None = None
    """A JSON object with the terms of the score by name, before weights."""
    disagreement: float | None = None
    """Deviation of the reward model's heads on it; null with one head, or without the model."""
    distance: float | None = None
    """Distance from the nearest answer that the reward model learnt from; null if unknown."""

    def identity(self) -> tuple[Any, ...]:
        return (self.model_id, self.step, self.row)


class RolloutVerdict(Record):
    """Verdict of a judge on one answer that the policy gave during training.

    The judge is part of the reward, or the guard's. If it compares two answers, `score` is its
    probability that the policy's is better than the opponent.
    """

    table: ClassVar[str] = "rollout_verdicts"
    model_id: str
    rollout_id: str
    judge: str
    judge_version: str
    role: str = "reward"
    """reward, or guard if the judge took no part in the training."""
    opponent_id: str | None = None
    """Id of the baseline candidate that it was compared with; null if it was judged alone."""
    presented: Presented = Presented.ALONE
    outcome: Outcome
    score: float | None = None
    raw_output: str | None = None
    reason: str | None = None
    response_ids: tuple[str, ...] = ()
    latency_seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0

    def identity(self) -> tuple[Any, ...]:
        compared = () if self.opponent_id is None else (self.opponent_id, self.presented)
        return (self.rollout_id, self.judge_version, *compared)


class Metric(Record):
    """One number of a training run; deploy/docs/metrics.md defines each name."""

    table: ClassVar[str] = "metrics"
    model_id: str
    step: int
    name: str
    value: float

    def identity(self) -> tuple[Any, ...]:
        return (self.model_id, self.step, self.name)


class Evaluation(Record):
    """Comparison of policy and baseline on held-out prompts by one judge."""

    table: ClassVar[str] = "evaluations"
    policy_id: str
    baseline_id: str
    judge: str
    judge_version: str
    role: str
    settings: str
    prompts: int
    comparisons: int
    unscored: int
    win_rate: float | None
    win_rate_low: float | None
    win_rate_high: float | None
    policy_score: float | None
    baseline_score: float | None
    policy_tokens: float
    baseline_tokens: float
    policy_eos_rate: float
    kl: float
    tie_tolerance: float = 0.0
    """Largest difference of two scores that is a tie by the judge's own noise."""

    def identity(self) -> tuple[Any, ...]:
        return (self.policy_id, self.baseline_id, self.judge, self.judge_version, self.settings)


class EvaluationResult(Record):
    """One comparison of an evaluation: two answers to the same prompt, and the judge's margin."""

    table: ClassVar[str] = "evaluation_results"
    evaluation_id: str
    prompt_id: str
    sample: int
    """Number of the two answers among those to the prompt, from 0."""
    policy_candidate_id: str
    baseline_candidate_id: str
    margin: float | None
    """Above 0 if the policy's answer is preferred, 0 for a tie; null without an opinion."""

    def identity(self) -> tuple[Any, ...]:
        return (self.evaluation_id, self.prompt_id, self.sample)


class EvaluationFigure(Record):
    """One figure of an evaluation beside its win rate; facet is the part that it is about."""

    table: ClassVar[str] = "evaluation_figures"
    evaluation_id: str
    metric: str
    facet: str = ""
    n: int
    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None

    def identity(self) -> tuple[Any, ...]:
        return (self.evaluation_id, self.metric, self.facet)


class Promotion(Record):
    """The decision of a cycle: whether the policy was promoted, and the reasons."""

    table: ClassVar[str] = "promotions"
    line: str
    config_hash: str
    cycle: int
    policy_id: str
    baseline_id: str
    evaluation_id: str
    promoted: bool
    reasons: tuple[str, ...]
    error_rate: float | None = None
    """Chance that this decision promotes a policy that is no better; null before it was kept."""
    win_rate_bound: float | None = None
    """Lower bound of the win rate at that error rate, which had to lie above win_rate_above."""

    def identity(self) -> tuple[Any, ...]:
        return (self.line, self.cycle)


class JudgeBenchmark(Record):
    """One figure of a judge on labelled answers; facet is a subset, another judge or an attack."""

    table: ClassVar[str] = "judge_benchmarks"
    benchmark: str
    judge: str
    judge_version: str
    data: str
    items_hash: str
    metric: str
    facet: str = ""
    n: int
    value: float
    low: float | None = None
    high: float | None = None

    def identity(self) -> tuple[Any, ...]:
        return (self.benchmark, self.judge, self.items_hash, self.data, self.metric, self.facet)
