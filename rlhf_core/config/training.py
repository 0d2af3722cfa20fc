"""Settings of the algorithms that improve a policy; `training.algorithm` chooses one."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from rlhf_core.config.base import PositiveFloat, PositiveInt, Settings, Share
from rlhf_core.config.judge import JudgeSettings

NonNegative = Annotated[float, Field(ge=0.0)]


class LabelSettings(Settings):
    """What a pair of a ranking teaches."""

    labels: Literal["hard", "soft"] = "hard"
    """hard: the chosen answer is better. soft: it is better with the probability that the judges
    give it, (1 + margin) / 2, however many candidates there are. Only two answers that a judge
    compared, or scored both, teach anything."""
    ties: Literal["dropped", "half"] = "dropped"
    """dropped: a tie teaches nothing (arXiv:2203.02155). half: either answer is the better one with
    probability one half."""


class KLSettings(Settings):
    """What keeps the policy near the SFT model."""

    coefficient: NonNegative = 0.05
    """Weight of the penalty on log π(y|x) − log π_SFT(y|x), per nat."""
    place: Literal["reward", "loss"] = "reward"
    """reward: the difference is taken off each token's reward, so credit is given across tokens.
    loss: half its square is added to the loss of each token, which pulls at that token alone."""
    target: PositiveFloat | None = None
    """Nats of a whole answer to steer to: the coefficient then rises while the policy is farther
    and falls while it is nearer (arXiv:1909.08593, section 2.2). null keeps it fixed."""
    horizon: PositiveInt | None = None
    """Answers it takes to change the coefficient by a fifth, the most that one step changes it by;
    larger is slower. null: so many that all answers of the training can change it about tenfold,
    steps × prompts_per_step × samples_per_prompt / 11.5, and at most the 10,000 of
    arXiv:1909.08593."""
    stop_at: PositiveFloat | None = None
    """Nats a token between the policy that rolled out and the one that is trained; once a
    minibatch finds more, the rest of the step's updates are left out. null never stops."""


class PTXSettings(Settings):
    """Language modelling beside the reward, against forgetting (arXiv:2203.02155, eq. 2)."""

    coefficient: PositiveFloat = 27.8
    """γ: weight of its loss. Both gradients are added before one optimizer step, each scaled down
    to max_grad_norm by itself, so that a large γ does not leave the reward without a say."""
    examples: PositiveInt = 8
    """Texts in each optimizer step."""
    max_tokens: Annotated[int, Field(ge=2)] = 256
    """Longer texts of a file are cut here."""
    path: str | None = None
    """A .txt file with a text a line, or a .jsonl file with a `text` in each; null takes the
    reference answers."""


class RewardSettings(Settings):
    """What the policy is trained against: a weighted sum."""

    reward_model: NonNegative = 1.0
    """Weight of the reward model's score, which has mean 0 and deviation 1 over the reference
    answers by each of its heads, so a deviation of at most 1 by several together."""
    judges: tuple[JudgeSettings, ...] = ()
    """Judges that score each answer as it is drawn, 0 to 1, times their `weight`; none may compare
    two answers. An answer on which one of them has no opinion teaches nothing. To prompts of modes
    that a judge is not for it adds nothing."""
    caution: NonNegative = 0.0
    """Deviations between the reward model's heads that are taken off its score: answers it knows
    little about then pay less (arXiv:2310.02743, uncertainty-weighted optimisation). On reference
    answers the heads differ by the metric `reference_disagreement`."""


class RewardedSettings(Settings):
    """What algorithms share that have their own answers rewarded."""

    reward: RewardSettings = RewardSettings()
    """What is rewarded."""
    missing_eos_score: float | None = -1.0
    """Most that an answer scores that did not end within max_new_tokens. It never scores above its
    reward, nor above the lowest score of the answers to its prompt that ended (of all in the step,
    where none to its prompt did), and is never the best of n. null leaves the reward."""


class OnlineSettings(RewardedSettings):
    """What algorithms share that learn from the policy's own answers."""

    steps: PositiveInt = 12
    """Rollout-and-update steps."""
    prompts_per_step: PositiveInt = 8
    """Prompts rolled out in one step."""
    samples_per_prompt: PositiveInt = 4
    """Rollouts of each of those prompts; they share the work on the prompt."""
    epochs: PositiveInt = 1
    """Passes over the rollouts of a step."""
    minibatches: PositiveInt = 2
    """Optimizer steps in one pass."""
    learning_rate: PositiveFloat = 5e-4
    """Peak, of the policy; decays by a cosine to a tenth. 5e-6 where policy.weights is full."""
    warmup_updates: Annotated[int, Field(ge=0)] = 0
    """Optimizer steps over which the learning rates first rise from a tenth to their peak; 10 in
    arXiv:2203.02155, appendix C.4."""
    kl: KLSettings = KLSettings()
    """The penalty against drifting away."""
    clip_range: PositiveFloat = 0.2
    """The probability ratio is clipped to 1 ± this."""
    entropy_bonus: NonNegative = 0.0
    """Weight of the policy's entropy, in nats a token, in what is maximised."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients are scaled down to this norm."""
    clip_score: PositiveFloat | None = None
    """Rewards are clipped to ± this; null leaves them."""
    ptx: PTXSettings | None = None
    """Language modelling beside the reward; null for none."""
    ema: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Decay of a moving average of the policy's weights over optimizer steps, which is then what
    is saved; 0.992 in arXiv:2203.02155. Its weights are corrected to sum to 1 over the steps made
    (arXiv:1412.6980, section 3), so the initial policy has no part in it. null saves the last
    weights."""

    @property
    def answers(self) -> int:
        """How many the policy gives over the whole training."""
        return self.steps * self.prompts_per_step * self.samples_per_prompt


class PPOSettings(OnlineSettings):
    """PPO with a critic (arXiv:1707.06347, arXiv:2203.02155)."""

    algorithm: Literal["ppo"] = "ppo"
    """The algorithm."""
    critic: Literal["separate", "shared"] = "separate"
    """separate: weights of its own, begun as a copy of the reward model's. shared: a head on the
    policy's weights, begun as a copy of the reward model's head; half the work and memory, and the
    two losses pull at the same weights."""
    critic_learning_rate: PositiveFloat = 1e-3
    """Peak, of a separate critic; a shared one learns at the policy's. 9e-6 where policy.weights is
    full."""
    value_coefficient: PositiveFloat = 0.1
    """Weight of the value loss beside the policy's, for a shared critic."""
    gamma: Share = 1.0
    """Discount of later rewards."""
    gae_lambda: Share = 0.95
    """Bias against variance in the advantages (arXiv:1506.02438)."""
    value_clip_range: PositiveFloat = 0.2
    """The critic moves no further than this from its values at rollout."""
    whiten_rewards: bool = False
    """Scale the rewards of a step's tokens to variance 1; their mean stays."""


class RLOOSettings(OnlineSettings):
    """REINFORCE, with the other answers to the prompt for a critic (arXiv:2402.14740)."""

    algorithm: Literal["rloo"]
    """The algorithm."""
    baseline: Literal["leave_one_out", "batch_mean", "none"] = "leave_one_out"
    """What is subtracted from an answer's reward: the mean of the prompt's other answers, the
    mean of the step, or nothing."""


class DPOSettings(LabelSettings):
    """Direct preference optimisation on the rankings themselves (arXiv:2305.18290)."""

    algorithm: Literal["dpo"]
    """The algorithm."""
    loss: Literal["sigmoid", "ipo"] = "sigmoid"
    """sigmoid is DPO; ipo bounds the preference gap (arXiv:2310.12036, eq. 17)."""
    beta: PositiveFloat = 0.1
    """How strongly the policy is held to the SFT model; for ipo, its τ."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    """Chance that a preference is the wrong way round: conservative DPO."""
    epochs: PositiveInt = 1
    """Passes over the rankings."""
    prompts_per_step: PositiveInt = 8
    """Rankings in one optimizer step."""
    learning_rate: PositiveFloat = 5e-4
    """Peak, of the policy; decays by a cosine to a tenth. 1e-6 where policy.weights is full."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients are scaled down to this norm."""


class BestOfNSettings(RewardedSettings):
    """Fine-tuning on the best of n answers of the policy by the reward (arXiv:2304.06767)."""

    algorithm: Literal["best_of_n"]
    """The algorithm."""
    n: Annotated[int, Field(ge=2)] = 8
    """Answers drawn for each prompt, of which the best is learnt."""
    epochs: PositiveInt = 1
    """Passes over the best answers."""
    prompts_per_step: PositiveInt = 16
    """Best answers in one optimizer step."""
    learning_rate: PositiveFloat = 5e-4
    """Peak, of the policy; decays by a cosine to a tenth. 1e-5 where policy.weights is full."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients are scaled down to this norm."""


def _algorithm(raw: Any) -> str:
    found = raw.get("algorithm", "ppo") if isinstance(raw, dict) else raw.algorithm
    return str(found)


TrainingSettings = Annotated[
    Annotated[PPOSettings, Tag("ppo")]
    | Annotated[RLOOSettings, Tag("rloo")]
    | Annotated[DPOSettings, Tag("dpo")]
    | Annotated[BestOfNSettings, Tag("best_of_n")],
    Discriminator(_algorithm),
]
"""PPO where `algorithm` is left out."""
