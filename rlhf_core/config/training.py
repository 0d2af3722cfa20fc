"""Settings of the algorithms that improve a policy; `training.algorithm` chooses one."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from rlhf_core.config.base import PositiveFloat, PositiveInt, Settings, Share
from rlhf_core.config.judge import JudgeSettings

NonNegative = Annotated[float, Field(ge=0.0)]


class LabelSettings(Settings):
    """Target that a pair of a ranking sets in training."""

    labels: Literal["hard", "soft"] = "hard"
    """hard: the chosen answer is better. soft: it is better with the judges' probability,
    (1 + margin) / 2, however many candidates there are. Only pairs that a judge compared, or of
    which it scored both answers, are used."""
    ties: Literal["dropped", "half"] = "dropped"
    """dropped: ties are not used (arXiv:2203.02155). half: either answer is better with probability
    one half."""


class KLSettings(Settings):
    """KL penalty that keeps the policy near the SFT model."""

    coefficient: NonNegative = 0.05
    """Weight of the penalty on log π(y|x) − log π_SFT(y|x), per nat."""
    place: Literal["reward", "loss"] = "reward"
    """reward: the difference is subtracted from each token's reward, so credit is assigned across
    tokens. loss: half its square is added to each token's loss, which affects that token alone."""
    target: PositiveFloat | None = None
    """KL of a whole answer to steer to, in nats: the coefficient rises while the policy is farther
    away and falls while it is nearer (arXiv:1909.08593, section 2.2). null keeps it fixed."""
    horizon: PositiveInt | None = None
    """Number of answers that change the coefficient by a fifth, the most that one step may change
    it by; larger is slower. null: so many that all answers of the training can change it about
    tenfold, steps × prompts_per_step × samples_per_prompt / 11.5, and at most the 10,000 of
    arXiv:1909.08593."""
    stop_at: PositiveFloat | None = None
    """Limit of the KL between the policy that rolled out and the one in training, in nats a token;
    once a minibatch exceeds it, the remaining updates of the step are skipped. null: no limit."""


class PTXSettings(Settings):
    """Language modelling beside the reward, to prevent forgetting (arXiv:2203.02155, eq. 2)."""

    coefficient: PositiveFloat = 27.8
    """γ: weight of its loss. Both gradients are added before one optimizer step, each clipped to
    max_grad_norm by itself, so that a large γ does not suppress the reward."""
    examples: PositiveInt = 8
    """Texts in each optimizer step."""
    max_tokens: Annotated[int, Field(ge=2)] = 256
    """Longer texts of a file are truncated to this many tokens."""
    path: str | None = None
    """A .txt file with one text a line, or a .jsonl file with a `text` in each row; null uses the
    reference answers."""


class RewardSettings(Settings):
    """Reward of an answer, a weighted sum of scores."""

    reward_model: NonNegative = 1.0
    """Weight of the reward model's score. For each head, it has mean 0 and deviation 1 over the
    reference answers; the mean of several heads has a deviation of at most 1."""
    judges: tuple[JudgeSettings, ...] = ()
    """Judges that score each sampled answer, 0 to 1, times their `weight`; none may compare two
    answers. An answer on which one of them has no opinion is not learnt from. A judge adds nothing
    for prompts of modes that it does not judge."""
    caution: NonNegative = 0.0
    """Number of deviations between the reward model's heads to subtract from its score, which
    lowers the reward of answers that it is uncertain about (arXiv:2310.02743, uncertainty-weighted
    optimisation). The metric `reference_disagreement` is the heads' deviation on reference
    answers."""


class RewardedSettings(Settings):
    """Settings shared by the algorithms that reward the policy's own answers."""

    reward: RewardSettings = RewardSettings()
    """Reward of an answer."""
    missing_eos_score: float | None = -1.0
    """Highest score of an answer that did not end within max_new_tokens. It also never exceeds the
    answer's reward, nor the lowest score of the finished answers to its prompt (of the whole step,
    if its prompt has none), and the answer is never the best of n. null leaves the reward
    unchanged."""


class OnlineSettings(RewardedSettings):
    """Settings shared by the algorithms that learn from rollouts of the policy."""

    steps: PositiveInt = 12
    """Rollout-and-update steps."""
    prompts_per_step: PositiveInt = 8
    """Prompts rolled out in one step."""
    samples_per_prompt: PositiveInt = 4
    """Rollouts of each of those prompts; they share the computation of the prompt."""
    epochs: PositiveInt = 1
    """Passes over the rollouts of a step."""
    minibatches: PositiveInt = 2
    """Optimizer steps in one pass."""
    learning_rate: PositiveFloat = 5e-4
    """Peak for the policy; decays by a cosine to a tenth. 5e-6 if policy.weights is full."""
    warmup_updates: Annotated[int, Field(ge=0)] = 0
    """Optimizer steps over which the learning rates first rise from a tenth to their peak; 10 in
    arXiv:2203.02155, appendix C.4."""
    kl: KLSettings = KLSettings()
    """KL penalty against the SFT model."""
    clip_range: PositiveFloat = 0.2
    """The probability ratio is clipped to 1 ± this value."""
    entropy_bonus: NonNegative = 0.0
    """Weight of the policy's entropy, in nats a token, in the objective."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients are clipped to this norm."""
    clip_score: PositiveFloat | None = None
    """Rewards are clipped to ± this value; null does not clip."""
    ptx: PTXSettings | None = None
    """Language modelling beside the reward; null for none."""
    ema: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Decay of a moving average of the policy's weights over optimizer steps, which is saved
    instead of the last weights; 0.992 in arXiv:2203.02155. It is corrected for its bias towards the
    initial policy, which has no part in it (arXiv:1412.6980, section 3). null saves the last
    weights."""

    @property
    def answers(self) -> int:
        """Number of answers that the policy gives over the whole training."""
        return self.steps * self.prompts_per_step * self.samples_per_prompt

    @property
    def clip_bounds(self) -> tuple[float, float]:
        """Distances below and above 1 at which the probability ratio is clipped."""
        return self.clip_range, self.clip_range

    @property
    def sampling_rounds(self) -> int:
        """Largest number of rounds in which a step samples answers."""
        return 1

    @property
    def drops_equal_groups(self) -> bool:
        """True if prompts whose answers all score alike are not learnt from."""
        return False


class PPOSettings(OnlineSettings):
    """PPO with a critic (arXiv:1707.06347, arXiv:2203.02155)."""

    algorithm: Literal["ppo"] = "ppo"
    """The algorithm."""
    critic: Literal["separate", "shared"] = "separate"
    """separate: weights of its own, initialised from the reward model's. shared: a head on the
    policy's weights, initialised from the reward model's head; this halves computation and memory,
    and both losses change the same weights."""
    critic_learning_rate: PositiveFloat = 1e-3
    """Peak for a separate critic; a shared one uses the policy's. 9e-6 if policy.weights is full.
    """
    value_coefficient: PositiveFloat = 0.1
    """Weight of the value loss beside the policy's, for a shared critic."""
    gamma: Share = 1.0
    """Discount of later rewards."""
    gae_lambda: Share = 0.95
    """Trade-off between bias and variance of the advantages (arXiv:1506.02438)."""
    value_clip_range: PositiveFloat = 0.2
    """The critic moves no further than this from its values at rollout."""
    whiten_rewards: bool = False
    """Scale the rewards of a step's tokens to variance 1, without changing their mean."""


class RLOOSettings(OnlineSettings):
    """REINFORCE, with the other answers to the prompt as the baseline (arXiv:2402.14740)."""

    algorithm: Literal["rloo"]
    """The algorithm."""
    baseline: Literal["leave_one_out", "batch_mean", "none"] = "leave_one_out"
    """Baseline subtracted from an answer's reward: the mean of the prompt's other answers, the mean
    of the step, or nothing."""

    @model_validator(mode="after")
    def _there_are_others_to_leave_in(self) -> "RLOOSettings":
        if self.baseline == "leave_one_out" and self.samples_per_prompt < 2:
            raise ValueError(
                "baseline: leave_one_out compares an answer with the others to its prompt; set "
                "samples_per_prompt to at least 2, or baseline to batch_mean"
            )
        return self


class LossKLSettings(KLSettings):
    """The KL penalty, in the loss by default (arXiv:2402.03300, eq. 3)."""

    place: Literal["reward", "loss"] = "loss"
    """loss: half the square of log π − log π_SFT is added to each token's loss. reward: the
    difference, summed over an answer, is subtracted from its reward."""


class GRPOSettings(OnlineSettings):
    """Group-relative policy optimisation: an answer is compared with all answers to its prompt.

    The defaults are GRPO (arXiv:2402.03300). Dr. GRPO, DAPO and GSPO each change some keys.
    """

    algorithm: Literal["grpo"]
    """The algorithm."""
    samples_per_prompt: Annotated[int, Field(ge=2)] = 8
    """Answers to each prompt, a group. The mean reward of the group is the baseline of each."""
    kl: LossKLSettings = LossKLSettings()
    """KL penalty against the SFT model. Dr. GRPO and DAPO have none: coefficient 0."""
    divide_by_deviation: bool = True
    """Divide the difference from the group's mean by the group's standard deviation. false: do not,
    since the division gives very easy and very hard prompts more weight (Dr. GRPO,
    arXiv:2503.20783)."""
    clip_range_high: PositiveFloat | None = None
    """The probability ratio is clipped to 1 − clip_range and 1 + this value; 0.28 lets unlikely
    tokens become likelier (clip-higher, DAPO, arXiv:2503.14476). null: clip_range."""
    ratio: Literal["token", "sequence"] = "token"
    """Probability ratio that is clipped. token: of each token. sequence: of the whole answer, the
    geometric mean over its tokens (GSPO, arXiv:2507.18071); it needs a far smaller clip_range, such
    as 3e-4."""
    aggregation: Literal["answer", "token", "constant"] = "answer"
    """Mean of the tokens' losses. answer: over each answer's tokens, then over answers, so a token
    of a long answer counts less (GRPO). token: over all tokens of the optimizer step (DAPO).
    constant: the sum over each answer's tokens divided by sampling.max_new_tokens, then the mean
    over answers, so all tokens count alike whatever the lengths (Dr. GRPO)."""
    dynamic_sampling: PositiveInt | None = None
    """Rounds of sampling in which a step collects prompts_per_step prompts whose answers differ in
    score; each round samples as many further prompts as are missing (DAPO). Prompts whose answers
    all score alike are dropped. 1 drops them without sampling others. null keeps them: their
    advantage is 0, and only the KL penalty affects them."""
    overlong_buffer: PositiveInt | None = None
    """Tokens before sampling.max_new_tokens in which an answer's score falls linearly, by 1 at the
    limit (soft overlong punishment, DAPO, eq. 13). null: no such punishment; see
    missing_eos_score."""

    @property
    def clip_bounds(self) -> tuple[float, float]:
        return self.clip_range, self.clip_range_high or self.clip_range

    @property
    def sampling_rounds(self) -> int:
        return self.dynamic_sampling or 1

    @property
    def drops_equal_groups(self) -> bool:
        return self.dynamic_sampling is not None

    @model_validator(mode="after")
    def _a_sequence_has_one_loss(self) -> "GRPOSettings":
        if self.ratio == "sequence" and self.aggregation != "answer":
            raise ValueError(
                f"ratio: sequence gives each answer one loss, and aggregation: {self.aggregation} "
                "would weight it by the answer's length; set aggregation to answer"
            )
        return self


class DPOSettings(LabelSettings):
    """Direct preference optimisation on the rankings themselves (arXiv:2305.18290)."""

    algorithm: Literal["dpo"]
    """The algorithm."""
    loss: Literal["sigmoid", "ipo"] = "sigmoid"
    """sigmoid is DPO; ipo bounds the preference gap (arXiv:2310.12036, eq. 17)."""
    beta: PositiveFloat = 0.1
    """Strength of the pull towards the SFT model; for ipo, its τ."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    """Probability that a preference is reversed: conservative DPO."""
    epochs: PositiveInt = 1
    """Passes over the rankings."""
    prompts_per_step: PositiveInt = 8
    """Rankings in one optimizer step."""
    learning_rate: PositiveFloat = 5e-4
    """Peak for the policy; decays by a cosine to a tenth. 1e-6 if policy.weights is full."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients are clipped to this norm."""


class BestOfNSettings(RewardedSettings):
    """Fine-tuning on the policy's best of n answers by the reward (arXiv:2304.06767)."""

    algorithm: Literal["best_of_n"]
    """The algorithm."""
    n: Annotated[int, Field(ge=2)] = 8
    """Answers sampled for each prompt, of which the best is learnt."""
    epochs: PositiveInt = 1
    """Passes over the best answers."""
    prompts_per_step: PositiveInt = 16
    """Best answers in one optimizer step."""
    learning_rate: PositiveFloat = 5e-4
    """Peak for the policy; decays by a cosine to a tenth. 1e-5 if policy.weights is full."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients are clipped to this norm."""


def _algorithm(raw: Any) -> str:
    algorithm = raw.get("algorithm", "ppo") if isinstance(raw, dict) else raw.algorithm
    return str(algorithm)


TrainingSettings = Annotated[
    Annotated[PPOSettings, Tag("ppo")]
    | Annotated[RLOOSettings, Tag("rloo")]
    | Annotated[GRPOSettings, Tag("grpo")]
    | Annotated[DPOSettings, Tag("dpo")]
    | Annotated[BestOfNSettings, Tag("best_of_n")],
    Discriminator(_algorithm),
]
"""Settings of the algorithm that `algorithm` names; PPO by default."""


def refuse_longer_buffer(training: TrainingSettings, max_new_tokens: int) -> None:
    """Refuse an overlong buffer that is longer than an answer can be.

    Raises:
        ValueError: If it is.
    """
    buffer = training.overlong_buffer if isinstance(training, GRPOSettings) else None
    if buffer is not None and buffer > max_new_tokens:
        raise ValueError(
            f"training.overlong_buffer = {buffer} is longer than an answer can be; set it to at "
            f"most sampling.max_new_tokens = {max_new_tokens}"
        )
