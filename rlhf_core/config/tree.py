"""Every setting of a run, documented where it is defined. Reading files is loading.py's work.

Frozen and strict throughout: an unknown key is an error, not a surprise. What belongs to one
judge alone is defined in that judge's file and checked there.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from rlhf_core.config.address import ServerAddress, StoreAddress
from rlhf_core.config.base import ASIDE, PositiveFloat, PositiveInt, Settings, Share
from rlhf_core.config.judge import DEFAULT_SCALE, JudgeSettings
from rlhf_core.config.policy import PolicySettings, with_small_steps
from rlhf_core.config.prompts import PromptSettings
from rlhf_core.config.sft import AbstentionSettings, SelectionSettings
from rlhf_core.config.training import DPOSettings, LabelSettings, PPOSettings, TrainingSettings
from rlhf_core.records import PROXY

DEFAULT_LINE = "solon"
"""Name of the policy line of a config that was not read from a file."""
LINE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class EndpointSettings(Settings):
    """A model behind an OpenAI-compatible server."""

    model: str
    """The model's name as the server knows it."""
    base_url: Annotated[ServerAddress, ASIDE] = None
    """The server's address, such as http://127.0.0.1:8000/v1; null is the openai default."""
    api_key_env: Annotated[str, ASIDE] = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key. The key itself never stands here."""
    concurrency: Annotated[PositiveInt, ASIDE] = 8
    """Requests in flight at once."""
    timeout_seconds: Annotated[PositiveFloat, ASIDE] = 60.0
    """Limit of one request."""
    max_attempts: Annotated[PositiveInt, ASIDE] = 5
    """Tries of one request before it counts as unavailable; only failures of the moment (time-out,
    lost connection, 429, 5xx, unreadable reply) are tried again."""
    requests_per_minute: Annotated[PositiveFloat | None, ASIDE] = None
    """Limit of the rate, retries included; never more than a second's worth at once. null: none.
    A server that says 429 is asked more slowly in any case."""
    tokens_per_minute: Annotated[PositiveFloat | None, ASIDE] = None
    """The same of input and output tokens together. null: none."""
    deadline_seconds: Annotated[PositiveFloat | None, ASIDE] = None
    """Limit of all the requests of one call together; what is not answered by then counts as
    unavailable. null: none."""
    delivery: Annotated[Literal["direct", "batch"], ASIDE] = "direct"
    """direct asks one by one; batch hands all requests to OpenAI's Batch API, which is cheaper and
    may take 24 hours. A batch that is under way is found again after a kill."""
    batch_discount: Annotated[Share, ASIDE] = 0.5
    """Share of the price that delivery by batch saves."""
    batch_poll_seconds: Annotated[PositiveFloat, ASIDE] = 30.0
    """Pause between two looks at a batch."""
    price_per_million_input_tokens: Annotated[float, Field(ge=0.0), ASIDE] = 0.0
    """In US dollars, for the plan, the budget and the cost column of the store."""
    price_per_million_output_tokens: Annotated[float, Field(ge=0.0), ASIDE] = 0.0
    """In US dollars."""

    def cost(self, input_tokens: float, output_tokens: float) -> float:
        """In US dollars, by the way of delivery."""
        price_in = self.price_per_million_input_tokens
        price_out = self.price_per_million_output_tokens
        share = 1.0 - self.batch_discount if self.delivery == "batch" else 1.0
        return share * (input_tokens * price_in + output_tokens * price_out) / 1e6


class BudgetSettings(Settings):
    """What remote models may cost in one run of a cycle.

    A run that is started again has the budget anew. Before a call is sent, the most it can cost is
    set aside, so no limit is passed. An attempt that failed after it was sent (time-out, 5xx, lost
    connection, unreadable reply) counts as spent in full, because the server may bill it. Without
    prices everything costs 0 dollars; `max_tokens` and `max_calls` need none.
    """

    max_usd: Annotated[float, Field(ge=0.0)] | None = None
    """In US dollars. null: no limit."""
    max_tokens: PositiveInt | None = None
    """Input and output tokens together. null: no limit."""
    max_calls: PositiveInt | None = None
    """Calls that are or may be billed. null: no limit."""


class SamplingSettings(Settings):
    """How candidate answers are drawn."""

    candidates: Annotated[int, Field(ge=2, le=64)] = 4
    """Answers sampled for each prompt (K). At least 2: one answer cannot be compared."""
    max_new_tokens: PositiveInt = 48
    """Limit of an answer, in tokens."""
    temperature: PositiveFloat = 1.0
    """Logits are divided by it, in sampling and in training alike."""
    endpoint: EndpointSettings | None = None
    """Sample the candidates from this remote model instead of the policy itself."""


class ImportedSettings(Settings):
    """Preferences of others, read into the store by `solon import`."""

    sources: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names they were imported under: the newest import of each is learnt from. A judge version of
    the table `imports` names one of them for good."""
    max_answer_tokens: PositiveInt = 512
    """Rankings with a longer answer, or with a prompt longer than `policy.max_prompt_tokens`, are
    not learnt from."""


class PreferenceSettings(Settings):
    """How judgements become rankings and pairs."""

    tie_margin: Share = 0.1
    """Two candidates are tied where 2 P − 1 is no further from 0 than this; P is the probability
    that the one is better, all judges together. 0.1 ties P from 0.45 to 0.55, and scores that are
    a fifth of the judge's `scale` apart. The same answer is always tied with itself. Ties are kept
    in the store; whether they are trained on, `reward_model.ties` says."""
    imported: ImportedSettings | None = None
    """Let the reward model, and DPO, learn from imported rankings beside the run's own, but for
    prompts that are held out anywhere in the store; null does not."""


class JudgingSettings(Settings):
    """When a stage stops because a judge does not answer.

    A verdict that is missing is none: it is never made up for by the other judges' weight. What was
    judged is kept, and a later run asks for what is missing alone.
    """

    max_silent_share: Share = 0.05
    """A stage stops where more than this share of a judge's verdicts are unavailable or unparsed.
    1 never stops, but for a judge that answers nothing at all. One of weight 0 is warned about."""
    silent_after: PositiveInt = 20
    """The share is looked at from so many verdicts on, and at the end of the stage: fewer than so
    many may lack as many as these."""


class RevisionSettings(Settings):
    """Critique and revision by a constitution (arXiv:2212.08073, section 3)."""

    model: str = "smollm2-135m-instruct"
    """Answers the prompts, criticises its answers and mends them: a local model (bundled name,
    folder or hub id)."""
    endpoint: EndpointSettings | None = None
    """Use this remote model instead."""
    constitution: str = "default"
    """A constitution that Solon ships, or the path of a .yaml file like it."""
    rounds: PositiveInt = 4
    """Revisions of each answer, each by a principle of its own."""
    max_critique_tokens: PositiveInt = 160
    """Limit of a critique, in tokens."""
    max_new_tokens: PositiveInt = 160
    """Limit of an answer, in tokens."""


class SFTSettings(Settings):
    """Supervised fine-tuning on reference answers and revisions, before anything else."""

    epochs: PositiveInt = 1
    """Passes over the demonstrations."""
    learning_rate: PositiveFloat = 1e-3
    """Peak; decays by a cosine to a tenth. 1e-5 where policy.weights is full."""
    prompts_per_step: PositiveInt = 16
    """Demonstrations in one optimizer step."""
    selection: SelectionSettings | None = None
    """Which weights are kept; null keeps the last."""
    abstention: AbstentionSettings | None = None
    """Teach "I don't know" where the base model knows no answer; null shows every reference."""


class RewardModelSettings(LabelSettings):
    """The reward model, trained on rankings with the K-wise loss."""

    epochs: PositiveInt = 1
    """Passes over the rankings. More than one overfits (arXiv:2203.02155, appendix C.2)."""
    learning_rate: PositiveFloat = 1e-3
    """Peak, of weights and head; decays by a cosine to a tenth. 1e-5 where policy.weights is
    full."""
    prompts_per_step: PositiveInt = 8
    """Rankings in one optimizer step."""
    margin: Annotated[float, Field(ge=0.0)] = 0.0
    """A pair's rewards are to differ by this times its margin (arXiv:2307.09288, eq. 2); the reward
    is measured in units of its own, so 1 is little and 5 much."""
    heads: PositiveInt = 1
    """Heads on the same weights, each from its own start and with its own weighting of rankings.
    The reward is their mean, their deviation its uncertainty (`training.reward.caution`)."""
    holdout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Share of the prompts whose rankings are not learnt from: accuracy, calibration and
    correlation with length are measured on them. Which ones follows from the prompt's tokens."""
    measure_every: Annotated[PositiveInt, ASIDE] = 10
    """Optimizer steps from one such measurement to the next; there is one at the end, too."""


class EvaluationSettings(Settings):
    """The comparison that decides, on held-out prompts, by judges that took no part."""

    judges: tuple[JudgeSettings, ...] = Field(min_length=1)
    """None of them may be among the training judges. The first one decides; the others are
    reported."""
    baseline: Literal["sft", "incumbent"] = "sft"
    """Whom to beat: the SFT model, or the policy promoted last (the SFT model, while there is
    none)."""
    samples_per_prompt: PositiveInt = 2
    """Answers of each model to each held-out prompt."""
    temperature: PositiveFloat = 1.0
    """Of these answers."""
    bootstrap_resamples: PositiveInt = 10_000
    """Resamples over prompts behind each interval."""


class PromotionSettings(Settings):
    """What a policy must show before it is promoted."""

    win_rate_above: Share = 0.5
    """The lower end of the win rate's interval must lie above this."""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    """Of that interval."""
    max_kl: PositiveFloat = 10.0
    """Limit of the KL divergence from the SFT model, in nats an answer."""
    min_eos_rate: Share = 0.5
    """At least this share of the answers must end by themselves."""


class ComputeSettings(Settings):
    """Where the arithmetic happens."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps. auto takes a GPU where there is one; of several processes
    (torchrun) each takes its own."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """auto is bf16 autocast on GPUs and CPUs with bf16 instructions, else fp32."""
    tokens_per_microbatch: PositiveInt = 3072
    """Tokens in one forward and backward pass; forward passes alone take four times as many. Lower
    it when memory runs out: results do not depend on it."""
    share_prompts: bool = True
    """Whether the answers to a prompt stand in one row, so that the prompt is computed once. false
    gives each a row of its own; the numbers are the same. A model that cannot read such rows, as
    BLOOM or Falcon, is never given any, and the log says so."""
    gradient_checkpointing: bool = False
    """Keep each layer's input alone for the backward pass and compute the rest again: a third more
    time, and room for micro-batches several times as large."""
    shard: bool = False
    """Of several processes (torchrun), let each hold a share of the policy's layers instead of a
    copy: slower, for models that do not fit one GPU. Memory that runs out is then an error."""
    checkpoint_every: PositiveInt = 5
    """Steps of a training after which it is kept on disk; one that is killed goes on from there, to
    the same weights."""


class Config(Settings):
    """One run, whole."""

    name: Annotated[str, ASIDE] = DEFAULT_LINE
    """Name of the policy line: champion, cycles, reports and deployments hang on it, and an edit of
    any other setting continues it. Letters, digits, `.`, `_` and `-`, at most 64. null: the file's
    name and a short hash of its path."""
    abandoned_champion: Annotated[str | None, ASIDE] = None
    """Id of the line's champion, or how it begins, once an edit of `policy` or `sft` makes another
    SFT model: the line then goes on from that one. null refuses such an edit."""
    store: Annotated[StoreAddress, ASIDE] = Path("runs/solon.duckdb")
    """The DuckDB file; or, for several machines, the address of a lake, as in
    ducklake:postgresql://USER@HOST/DATABASE?data=FOLDER, or with data=s3://BUCKET/PREFIX, &region=
    and &endpoint= where rows lie in an object store. Made where it is missing."""
    artifacts: Annotated[Path, ASIDE] = Path("runs/artifacts")
    """Folder of the trained models and reports."""
    seed: int = 1
    """Everything random follows from it."""
    prompts: PromptSettings
    """Prompts."""
    policy: PolicySettings = PolicySettings()
    """The model that is improved."""
    sampling: SamplingSettings = SamplingSettings()
    """Candidates."""
    judges: tuple[JudgeSettings, ...] = Field(min_length=1)
    """The judges whose verdicts become training data."""
    judging: Annotated[JudgingSettings, ASIDE] = JudgingSettings()
    """When a judge that does not answer stops the run."""
    preferences: PreferenceSettings = PreferenceSettings()
    """From judgements to pairs."""
    revision: RevisionSettings | None = None
    """Before fine-tuning, let a model mend its own answers by a constitution, and learn from the
    last revisions beside the reference answers; null does not."""
    sft: SFTSettings = SFTSettings()
    """Supervised fine-tuning."""
    reward_model: RewardModelSettings = RewardModelSettings()
    """Reward model."""
    training: TrainingSettings = PPOSettings()
    """Policy: by which algorithm, and its settings."""
    evaluation: EvaluationSettings
    """Evaluation."""
    promotion: PromotionSettings = PromotionSettings()
    """Promotion."""
    compute: Annotated[ComputeSettings, ASIDE] = ComputeSettings()
    """Device, precision, memory."""
    budget: Annotated[BudgetSettings, ASIDE] = BudgetSettings()
    """Limits of what remote models may cost."""
    tracker: Annotated[Literal["auto", "none", "tensorboard", "trackio"], ASIDE] = "auto"
    """Where training curves go beside the store. auto is TensorBoard
    where it is installed, with its files in artifacts/tensorboard."""

    @model_validator(mode="before")
    @classmethod
    def _full_weights_learn_in_small_steps(cls, raw: Any) -> Any:
        return with_small_steps(raw) if isinstance(raw, dict) else raw

    @model_validator(mode="before")
    @classmethod
    def _null_is_no_name(cls, raw: Any) -> Any:
        is_unnamed = isinstance(raw, dict) and raw.get("name", "") is None
        return {key: raw[key] for key in raw if key != "name"} if is_unnamed else raw

    @model_validator(mode="after")
    def _judges_make_sense(self) -> "Config":
        _refuse_repeated_names(self.judges, "judges")
        _refuse_repeated_names(self.evaluation.judges, "evaluation.judges")
        if not any(judge.weight > 0 for judge in self.judges):
            raise ValueError("judges: every weight is 0, so nothing could be ranked; raise one")
        _refuse_unusable_rewards(self)
        if self.compute.shard and self.policy.weights == "full":
            raise ValueError(
                "compute.shard: layers lie in shards beside adapters alone; set policy.weights to "
                "adapters, or compute.shard to false"
            )
        judging = (*self.judges, *rewarding_judges(self.training))
        trainers = {judge.identity: judge.name for judge in judging if judge.weight > 0}
        for judge in self.evaluation.judges:
            if judge.identity in trainers:
                raise ValueError(
                    f"evaluation.judges: {judge.name!r} also judges the training data; a policy "
                    "is evaluated only by judges that took no part in its training. Name another "
                    "judge, or set the weight of the training one to 0"
                )
        return self

    @field_validator("name")
    @classmethod
    def _name_suits_files(cls, name: str) -> str:
        if not LINE_NAME.fullmatch(name):
            raise ValueError(
                "it names folders and deployments: write at most 64 letters, digits, `.`, `_` and "
                "`-`, a letter or a digit first"
            )
        return name


class Panel(Settings):
    """The part of a config that measuring its judges takes."""

    store: StoreAddress = Config.model_fields["store"].default
    """As in a whole config."""
    artifacts: Path = Config.model_fields["artifacts"].default
    """As in a whole config."""
    judges: tuple[JudgeSettings, ...] = Field(min_length=1)
    """As in a whole config; `weight` and `modes` do not matter here."""
    budget: BudgetSettings = BudgetSettings()
    """What this bench may cost."""

    @model_validator(mode="after")
    def _names_differ(self) -> "Panel":
        _refuse_repeated_names(self.judges, "judges")
        return self


def _refuse_repeated_names(judges: tuple[JudgeSettings, ...], where: str) -> None:
    names = [judge.name for judge in judges]
    if PROXY in names:
        raise ValueError(f"{where}: the name {PROXY!r} is the reward model's own; take another")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{where}: two judges are named {name!r}; give each its own `name`")


def rewarding_judges(training: TrainingSettings) -> tuple[JudgeSettings, ...]:
    """The judges whose scores are part of the reward itself."""
    return training.reward.judges if not isinstance(training, DPOSettings) else ()


def _refuse_unusable_rewards(config: Config) -> None:
    if isinstance(config.training, DPOSettings):
        return
    reward = config.training.reward
    _refuse_repeated_names(reward.judges, "training.reward.judges")
    if reward.reward_model == 0 and not any(judge.weight > 0 for judge in reward.judges):
        raise ValueError("training.reward: every weight is 0, so nothing is rewarded; raise one")
    for judge in reward.judges:
        if judge.scale != DEFAULT_SCALE:
            raise ValueError(
                f"training.reward.judges: {judge.name!r} has a scale, which is for preferences; in "
                "a reward its score counts as it is, times its weight; leave it out"
            )
    if reward.caution > 0 and config.reward_model.heads == 1:
        raise ValueError(
            "training.reward.caution needs heads that disagree; set reward_model.heads, say to 5"
        )
