"""Every setting of a run, documented where it is defined. loading.py reads config files.

All settings are frozen and strict: an unknown key is an error. Options of one kind of judge alone
are defined and validated in that judge's file.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from rlhf_core.config.address import StoreAddress
from rlhf_core.config.base import ASIDE, UNLESS_SET, PositiveFloat, PositiveInt, Settings, Share
from rlhf_core.config.compute import ComputeSettings
from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.config.engine import EngineSettings, refuse_full_weights
from rlhf_core.config.evaluation import EvaluationSettings, PromotionSettings
from rlhf_core.config.guard import GuardSettings
from rlhf_core.config.judge import DEFAULT_SCALE, JudgeSettings
from rlhf_core.config.policy import PolicySettings, refuse_shards, with_small_steps
from rlhf_core.config.prompts import PromptSettings
from rlhf_core.config.service import ServiceSettings
from rlhf_core.config.sft import AbstentionSettings, SelectionSettings
from rlhf_core.config.training import (
    DPOSettings,
    LabelSettings,
    PPOSettings,
    TrainingSettings,
    refuse_longer_buffer,
)
from rlhf_core.records import PROXY

DEFAULT_LINE = "solon"
"""Name of the policy line for a config that was not loaded from a file."""
MustBeat = Literal["none", "not_worse", "as_good", "better"]
LINE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class BudgetSettings(Settings):
    """Budget for remote models, of one run or of all runs of the line in a day or a month.

    Before a call is sent, its highest possible cost is
    reserved, so no limit is exceeded. An attempt that failed after it was sent (time-out, 5xx, lost
    connection, unreadable reply) counts as spent in full, because the server may bill it. Without
    prices every call costs 0 dollars; `max_tokens` and `max_calls` need no prices.
    """

    max_usd: Annotated[float, Field(ge=0.0)] | None = None
    """Limit in US dollars. null: no limit."""
    max_tokens: PositiveInt | None = None
    """Limit of input and output tokens together. null: no limit."""
    max_calls: PositiveInt | None = None
    """Limit of calls that are or may be billed. null: no limit."""
    period: Literal["run", "day", "month"] = "run"
    """Period of the limits: one run, whose restart has the full budget again; or all runs of the
    line since midnight, or since the first of the month, UTC. Of earlier runs, only calls with a
    reply count, which the store has."""


class SamplingSettings(Settings):
    """Sampling of candidate answers."""

    candidates: Annotated[int, Field(ge=2, le=64)] = 4
    """Answers sampled for each prompt (K). At least 2: one answer cannot be compared."""
    max_new_tokens: PositiveInt = 48
    """Limit of an answer, in tokens."""
    temperature: PositiveFloat = 1.0
    """Divisor of the logits, both in sampling and in training."""
    endpoint: EndpointSettings | None = None
    """Sample the candidates from this remote model instead of the policy."""
    engine: Annotated[EngineSettings, UNLESS_SET] = EngineSettings()
    """Engine that samples the policy's answers: candidates, rollouts, and the evaluation."""


class ImportedSettings(Settings):
    """Preferences from elsewhere that `solon import` wrote to the store."""

    sources: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of the imports; the newest import of each name is used. A judge version from the table
    `imports` pins one import."""
    max_answer_tokens: PositiveInt = 512
    """Rankings with a longer answer, or with a prompt longer than `policy.max_prompt_tokens`, are
    not used."""


class PreferenceSettings(Settings):
    """Rules that turn judgements into rankings and pairs."""

    tie_margin: Share = 0.1
    """Two candidates are tied if |2 P − 1| is at most this; P is the probability that one is
    better, by all judges together. 0.1 ties P from 0.45 to 0.55, and scores up to a fifth of the
    judge's `scale` apart. Equal answers are always tied. Ties are stored; `reward_model.ties`
    decides whether training uses them."""
    missing: Literal["unscored", "reweigh"] = "unscored"
    """Treatment of a pair for which one judge with weight has no readable verdict while others have
    one. unscored: the pair is left out. reweigh: the other judges decide, as if that judge had no
    weight. A judge that abstains, or does not judge that mode, is not missing."""
    imported: ImportedSettings | None = None
    """Train the reward model, and DPO, on imported rankings beside the run's own, except for
    prompts that are held out anywhere in the store; null does not."""


class JudgingSettings(Settings):
    """Conditions under which a stage stops because a judge does not answer, and probes of judges.

    By default the other judges' weight does not replace a missing verdict. The judgements made so
    far are kept, and a later run requests only the missing ones.
    """

    max_silent_share: Share = 0.05
    """A stage stops if more than this share of a judge's verdicts is unavailable or unparsed. 1
    never stops, except for a judge that answers nothing at all. A judge of weight 0 only causes a
    warning."""
    silent_after: PositiveInt = 20
    """The share is checked from this many verdicts on, and at the end of the stage; a stage with
    fewer verdicts may lack as many as one with this many."""
    probes: Annotated[int, Field(ge=0)] = 32
    """Questions, each on another prompt, that each judge with a remote model is asked again in each
    cycle, to report a judge whose verdicts moved because its provider changed the model. 32 show a
    judge without noise that changes a sixth of its verdicts. 0 asks none."""


class RevisionSettings(Settings):
    """Critique and revision by a constitution (arXiv:2212.08073, section 3)."""

    model: str = "smollm2-135m-instruct"
    """Model that answers the prompts, criticises its answers and revises them: a local model
    (bundled name, folder or hub id)."""
    endpoint: EndpointSettings | None = None
    """Use this remote model instead."""
    constitution: str = "default"
    """Name of a bundled constitution, or path of a .yaml file in its format."""
    rounds: PositiveInt = 4
    """Revisions of each answer, each by another principle."""
    max_critique_tokens: PositiveInt = 160
    """Limit of a critique, in tokens."""
    max_new_tokens: PositiveInt = 160
    """Limit of an answer, in tokens."""


class SFTSettings(Settings):
    """Supervised fine-tuning on reference answers and revisions, before anything else."""

    epochs: PositiveInt = 1
    """Passes over the demonstrations."""
    learning_rate: PositiveFloat = 1e-3
    """Peak; decays by a cosine to a tenth. 1e-5 if policy.weights is full."""
    prompts_per_step: PositiveInt = 16
    """Demonstrations in one optimizer step."""
    selection: SelectionSettings | None = None
    """Selection of the weights to keep; null keeps the last."""
    abstention: AbstentionSettings | None = None
    """Teach "I don't know" for prompts that the base model cannot answer; null teaches every
    reference."""


class RewardModelSettings(LabelSettings):
    """The reward model, trained on rankings with the K-wise loss."""

    epochs: PositiveInt = 1
    """Passes over the rankings. More than one overfits (arXiv:2203.02155, appendix C.2)."""
    learning_rate: PositiveFloat = 1e-3
    """Peak for weights and head; decays by a cosine to a tenth. 1e-5 if policy.weights is full."""
    prompts_per_step: PositiveInt = 8
    """Rankings in one optimizer step."""
    margin: Annotated[float, Field(ge=0.0)] = 0.0
    """The rewards of a pair should differ by this times its margin (arXiv:2307.09288, eq. 2). The
    reward has its own unit: 1 is little, 5 is much."""
    heads: PositiveInt = 1
    """Heads on the same weights, each with its own initialisation and weighting of rankings. The
    reward is their mean; their deviation is its uncertainty (`training.reward.caution`)."""
    holdout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Share of the prompts whose rankings are held out to measure accuracy, calibration and
    correlation with length. The prompt's tokens decide which ones."""
    measure_every: Annotated[PositiveInt, ASIDE] = 10
    """Optimizer steps between two such measurements; there is always one at the end."""
    must_beat: Annotated[Literal["none", "not_worse", "as_good", "better"], UNLESS_SET] = (
        "not_worse"
    )
    """Condition on a new reward model before it trains a policy: its accuracy, against the line's
    last one, on the pairs that both held out. not_worse refuses it if it is surely worse (one-sided
    5 % of a paired test by prompt; few pairs show little, so most pass). as_good refuses it if its
    accuracy is lower at all. better refuses it unless it is surely better. none only records the
    comparison. After a refusal the last one trains the policy."""


class Config(Settings):
    """All settings of one run."""

    name: Annotated[str, ASIDE] = DEFAULT_LINE
    """Name of the policy line, which champion, cycles, reports and deployments belong to; a config
    with other settings edited continues the line. Letters, digits, `.`, `_` and `-`, at most 64.
    null: the file's name and a short hash of its path."""
    abandoned_champion: Annotated[str | None, ASIDE] = None
    """Id of the line's champion, or the beginning of it, to confirm an edit of `policy` or `sft`
    that makes another SFT model: the line then continues from that SFT model. null refuses such an
    edit."""
    store: Annotated[StoreAddress, ASIDE] = Path("runs/solon.duckdb")
    """The DuckDB file; or, for several machines, the address of a lake, as in
    ducklake:postgresql://USER@HOST/DATABASE?data=FOLDER, or with data=s3://BUCKET/PREFIX, &region=
    and &endpoint= for rows in an object store. It is created if it is missing."""
    artifacts: Annotated[Path, ASIDE] = Path("runs/artifacts")
    """Folder of the trained models and reports."""
    seed: int = 1
    """Seed of everything random."""
    prompts: PromptSettings
    """Prompts."""
    policy: PolicySettings = PolicySettings()
    """The model that is trained."""
    sampling: SamplingSettings = SamplingSettings()
    """Sampling of candidates."""
    judges: tuple[JudgeSettings, ...] = Field(min_length=1)
    """The judges whose verdicts become training data."""
    judging: Annotated[JudgingSettings, ASIDE] = JudgingSettings()
    """Conditions under which a judge that does not answer stops the run, and probes of judges."""
    preferences: PreferenceSettings = PreferenceSettings()
    """Rules that turn judgements into pairs."""
    revision: RevisionSettings | None = None
    """Before fine-tuning, let a model revise its own answers by a constitution, and train on the
    last revisions beside the reference answers; null does not."""
    sft: SFTSettings = SFTSettings()
    """Supervised fine-tuning."""
    reward_model: RewardModelSettings = RewardModelSettings()
    """Reward model."""
    training: TrainingSettings = PPOSettings()
    """Training of the policy: the algorithm and its settings."""
    evaluation: EvaluationSettings
    """Evaluation."""
    promotion: PromotionSettings = PromotionSettings()
    """Promotion."""
    guard: Annotated[GuardSettings, UNLESS_SET] = GuardSettings()
    """The guard against reward hacking."""
    compute: Annotated[ComputeSettings, ASIDE] = ComputeSettings()
    """Device, precision, memory."""
    budget: Annotated[BudgetSettings, ASIDE] = BudgetSettings()
    """Limits of the cost of remote models."""
    service: Annotated[ServiceSettings, ASIDE] = ServiceSettings()
    """The line as a service: what starts its trainings, how long stages may take."""
    tracker: Annotated[
        Literal["auto", "none", "tensorboard", "trackio", "mlflow", "wandb"], ASIDE
    ] = "auto"
    """Tracker of training curves beside the store. auto is TensorBoard if it is installed, with its
    files in artifacts/tensorboard. mlflow writes to the server of MLFLOW_TRACKING_URI, or into
    artifacts/mlflow.db; wandb to the server, or with WANDB_MODE=offline into artifacts/wandb."""

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
        refuse_longer_buffer(self.training, self.sampling.max_new_tokens)
        refuse_full_weights(self.sampling.engine, self.policy.weights)
        refuse_shards(self.policy, bool(self.compute.shard))
        _refuse_repeated_names(self.guard.repair_judges or (), "guard.repair_judges")
        if not any(judge.weight > 0 for judge in repairing_judges(self)):
            raise ValueError(
                "guard.repair_judges: every weight is 0, so nothing could be ranked; raise one"
            )
        judging = training_judges(self)
        trainers = {judge.identity: judge.name for judge in judging if judge.weight > 0}
        for judge in held_out_judges(self):
            if judge.identity in trainers:
                place = "guard.judge" if judge is self.guard.judge else "evaluation.judges"
                raise ValueError(
                    f"{place}: {judge.name!r} also judges the training data; a policy "
                    "is evaluated only by judges that took no part in its training. Name another "
                    "judge, or set the weight of the training one to 0"
                )
        return self

    @field_validator("name")
    @classmethod
    def _name_suits_files(cls, name: str) -> str:
        if not LINE_NAME.fullmatch(name):
            raise ValueError(
                "it names folders and deployments: use at most 64 letters, digits, `.`, `_` and "
                "`-`, beginning with a letter or a digit"
            )
        return name


class Panel(Settings):
    """The part of a config that is needed to measure its judges."""

    store: StoreAddress = Config.model_fields["store"].default
    """Same as in a whole config."""
    artifacts: Path = Config.model_fields["artifacts"].default
    """Same as in a whole config."""
    judges: tuple[JudgeSettings, ...] = Field(min_length=1)
    """Same as in a whole config; `weight` and `modes` have no effect here."""
    compute: ComputeSettings = ComputeSettings()
    """Same as in a whole config."""
    budget: BudgetSettings = BudgetSettings()
    """Budget of the bench."""

    @model_validator(mode="after")
    def _names_differ(self) -> "Panel":
        _refuse_repeated_names(self.judges, "judges")
        return self


def _refuse_repeated_names(judges: tuple[JudgeSettings, ...], where: str) -> None:
    names = [judge.name for judge in judges]
    if PROXY in names:
        raise ValueError(
            f"{where}: the name {PROXY!r} is reserved for the reward model; use another"
        )
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{where}: two judges are named {name!r}; give each its own `name`")


def rewarding_judges(training: TrainingSettings) -> tuple[JudgeSettings, ...]:
    """Return the judges whose scores are part of the reward."""
    return training.reward.judges if not isinstance(training, DPOSettings) else ()


def repairing_judges(config: Config) -> tuple[JudgeSettings, ...]:
    """Return the judges of the answers that raised alarms."""
    return config.guard.repair_judges or config.judges


def training_judges(config: Config) -> tuple[JudgeSettings, ...]:
    """Return the judges whose verdicts are training data, repair data or part of the reward."""
    own = config.guard.repair_judges or ()
    return (*config.judges, *own, *rewarding_judges(config.training))


def held_out_judges(config: Config) -> tuple[JudgeSettings, ...]:
    """Return the judges that may take no part in training: those of the evaluation, the guard's."""
    own = config.guard.judge
    return config.evaluation.judges if own is None else (*config.evaluation.judges, own)


def guarding_judge(config: Config) -> JudgeSettings:
    """Return the judge that the guard asks."""
    return config.guard.judge or config.evaluation.judges[0]


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
                "a reward its score is only multiplied by its weight; remove the scale"
            )
    if reward.caution > 0 and config.reward_model.heads == 1:
        raise ValueError(
            "training.reward.caution needs several heads; set reward_model.heads, for example to 5"
        )
