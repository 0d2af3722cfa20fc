"""The facts Solon keeps, one class a table. No SQL and no models here.

A record's id is the hash of what makes it that fact, so the same work done twice is the same row.
The store adds to every row when it was written, by which run and by which version of the code.
"""

from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, computed_field

from rlhf_core.identity import content_id, unit_interval


class Mode(StrEnum):
    """What kind of answer a prompt wants, and so which judges suit it."""

    TEXT_GROUNDED = "text_grounded"
    KNOWLEDGE_SEEKING = "knowledge_seeking"
    CREATIVE = "creative"


class Split(StrEnum):
    TRAIN = "train"
    HOLDOUT = "holdout"


class Outcome(StrEnum):
    """What a judge's answer came to. Only the first four are opinions."""

    SCORED = "scored"
    FIRST = "first"
    SECOND = "second"
    TIE = "tie"
    ABSTAINS = "abstains"
    UNPARSED = "unparsed"
    UNAVAILABLE = "unavailable"


class Presented(StrEnum):
    """How candidates were shown: alone, in the order of their sample indices, or the other."""

    ALONE = "alone"
    FORWARD = "forward"
    REVERSED = "reversed"


class PairOutcome(StrEnum):
    PREFERRED = "preferred"
    TIE = "tie"
    UNSCORED = "unscored"


class ModelKind(StrEnum):
    BASE = "base"
    ENDPOINT = "endpoint"
    SFT = "sft"
    REWARD = "reward"
    POLICY = "policy"


PROXY = "proxy"
"""The judge under whose name the scores of a cycle's own reward model are kept, and its role."""


class Record(BaseModel):
    """A row. Subclasses say what identifies them; a row read back may carry more columns."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())
    table: ClassVar[str]

    def identity(self) -> tuple[Any, ...]:
        raise NotImplementedError

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def id(self) -> str:
        return content_id(self.table, *self.identity())


class ConfigVersion(Record):
    """A config as it was run, by the hash that other rows carry."""

    table: ClassVar[str] = "configs"
    config_hash: str
    config: str

    def identity(self) -> tuple[Any, ...]:
        return (self.config_hash,)


class Prompt(Record):
    """What is asked, and the answers a person gave to it, if any."""

    table: ClassVar[str] = "prompts"
    text: str
    context: str | None = None
    mode: Mode
    reference_answers: tuple[str, ...] = ()
    split: Split

    def identity(self) -> tuple[Any, ...]:
        return (self.text, self.context, self.mode, self.reference_answers)

    @property
    def instruction(self) -> str:
        """What the model reads: the given text, where there is one, then the prompt."""
        return f"{self.context}\n\n{self.text}" if self.context else self.text


def split_of(text: str, context: str | None, holdout: float) -> Split:
    """The split of a prompt: drawn from its own words, so adding prompts never moves it."""
    drawn = unit_interval("split", text, context)
    return Split.HOLDOUT if drawn < holdout else Split.TRAIN


class PromptSet(Record):
    """The prompts a source held at one moment: a version of the data set."""

    table: ClassVar[str] = "prompt_sets"
    source: str
    prompt_ids: tuple[str, ...]

    def identity(self) -> tuple[Any, ...]:
        return (self.source, sorted(self.prompt_ids))


class Candidate(Record):
    """One sampled answer. Tokens and log-probabilities are null where the model gave none."""

    table: ClassVar[str] = "candidates"
    prompt_id: str
    model_id: str
    sampling: str
    temperature: float
    max_new_tokens: int
    seed: int
    sample_index: int
    text: str
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    latency_seconds: float = 0.0
    cost_usd: float = 0.0

    def identity(self) -> tuple[Any, ...]:
        batch = (self.model_id, self.sampling, self.seed)
        return candidate_identity(self.prompt_id, *batch, self.sample_index)


def candidate_identity(
    prompt_id: str, model_id: str, sampling: str, seed: int, sample_index: int
) -> tuple[Any, ...]:
    return (prompt_id, model_id, sampling, seed, sample_index)


class Judgement(Record):
    """What one judge said of one candidate, or of two in the order they were shown."""

    table: ClassVar[str] = "judgements"
    prompt_id: str
    judge: str
    judge_version: str
    candidate_id: str
    opponent_id: str | None = None
    presented: Presented = Presented.ALONE
    outcome: Outcome
    score: float | None = None
    probability: float | None = None
    raw_output: str | None = None
    reason: str | None = None
    latency_seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    attempt: str = ""

    def identity(self) -> tuple[Any, ...]:
        return (self.judge_version, self.candidate_id, self.opponent_id, self.attempt)


class Ranking(Record):
    """The candidates of one prompt from best to worst, as all judges together see them."""

    table: ClassVar[str] = "rankings"
    prompt_id: str
    model_id: str
    seed: int
    recipe: str
    candidate_ids: tuple[str, ...]
    utilities: tuple[float, ...]
    judgement_ids: tuple[str, ...]

    def identity(self) -> tuple[Any, ...]:
        return (self.recipe, sorted(self.candidate_ids), sorted(self.judgement_ids))


class Pair(Record):
    """Two candidates of one ranking. Chosen and rejected are null for ties and the unscored.

    Margin is the difference of their utilities (0 to 1); agreement is the weighted share of the
    judges with an opinion that side with the chosen one.
    """

    table: ClassVar[str] = "pairs"
    prompt_id: str
    ranking_id: str
    left_id: str
    right_id: str
    outcome: PairOutcome
    chosen_id: str | None = None
    rejected_id: str | None = None
    margin: float | None = None
    agreement: float | None = None
    judgement_ids: tuple[str, ...]
    judge_versions: tuple[str, ...]
    config_hash: str

    def identity(self) -> tuple[Any, ...]:
        return (self.ranking_id, self.left_id, self.right_id)


class ModelVersion(Record):
    """A model, by what it was made of: recipe, parent and data, not by the bytes that came out.

    Its folder is the one of that name among the artifacts.
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
    """One row that a model learnt from: a prompt, a ranking, or another model."""

    table: ClassVar[str] = "model_inputs"
    model_id: str
    input_table: str
    input_id: str

    def identity(self) -> tuple[Any, ...]:
        return (self.model_id, self.input_id)


class Rollout(Record):
    """An answer the policy gave while it was being trained, and what it was rewarded with."""

    table: ClassVar[str] = "rollouts"
    model_id: str
    step: int
    row: int
    prompt_id: str
    text: str
    score: float
    kl: float
    completion_tokens: int
    finish_reason: str

    def identity(self) -> tuple[Any, ...]:
        return (self.model_id, self.step, self.row)


class Metric(Record):
    """One number of a training run; deploy/docs/metrics.md says what each name means."""

    table: ClassVar[str] = "metrics"
    model_id: str
    step: int
    name: str
    value: float

    def identity(self) -> tuple[Any, ...]:
        return (self.model_id, self.step, self.name)


class Evaluation(Record):
    """Policy against baseline on held-out prompts, as one judge sees them."""

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

    def identity(self) -> tuple[Any, ...]:
        return (self.policy_id, self.baseline_id, self.judge, self.judge_version, self.settings)


class Promotion(Record):
    """The decision of a cycle: the policy took over, or why it did not."""

    table: ClassVar[str] = "promotions"
    config_hash: str
    cycle: int
    policy_id: str
    baseline_id: str
    evaluation_id: str
    promoted: bool
    reasons: tuple[str, ...]

    def identity(self) -> tuple[Any, ...]:
        return (self.config_hash, self.cycle)


class StageRun(Record):
    """A stage that ended, with the rows it found and added."""

    table: ClassVar[str] = "stage_runs"
    config_hash: str
    cycle: int
    stage: str
    seconds: float
    detail: str

    def identity(self) -> tuple[Any, ...]:
        return (self.config_hash, self.cycle, self.stage)


class Failure(Record):
    """Work that could not be done, and why; it stays missing, so the next run tries it again."""

    table: ClassVar[str] = "failures"
    stage: str
    subject_id: str
    reason: str
    attempt: str

    def identity(self) -> tuple[Any, ...]:
        return (self.stage, self.subject_id, self.attempt)


class JudgeBenchmark(Record):
    """One figure of a judge on labelled answers; facet is a subset, another judge, an attack."""

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


RECORDS: tuple[type[Record], ...] = (
    ConfigVersion,
    Prompt,
    PromptSet,
    Candidate,
    Judgement,
    Ranking,
    Pair,
    ModelVersion,
    ModelInput,
    Rollout,
    Metric,
    Evaluation,
    Promotion,
    StageRun,
    Failure,
    JudgeBenchmark,
)
