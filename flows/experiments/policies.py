"""Training of policies in experiments: one algorithm from one SFT model, measured as it moves away.

Each measurement answers the held-out prompts with equal random numbers, so that gains over the SFT
model are paired.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flows.experiments.experiment import Curve
from flows.experiments.laboratory import HeldOut, Laboratory, ScoredAnswers, watch
from flows.training.rewards import RewardJudges, build_reward
from flows.training.texts import ptx_texts
from judges import Ledger
from rlhf_core.algorithms.best_of_n import train_best_of_n
from rlhf_core.algorithms.dpo import train_dpo
from rlhf_core.algorithms.online import add_critic, train_online
from rlhf_core.algorithms.optimisation import TrainingStep
from rlhf_core.config import Config
from rlhf_core.config.training import BestOfNSettings, DPOSettings, PPOSettings
from rlhf_core.distributed.collective import RankZeroOnly
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.records import Prompt, Split


def policy_steps(
    lab: Laboratory, config: Config, trunk: Trunk, prompts: Sequence[Prompt]
) -> Iterator[TrainingStep]:
    """Return the training steps of a config's algorithm.

    Args:
        lab: Laboratory with the rankings, for DPO, and the sampler of the rollouts.
        config: Its `training`, `sampling` and `seed` decide.
        trunk: Holds the policy, and the reward model unless the reward has none.
        prompts: Prompts to train on.
    """
    settings, seed, chat = config.training, config.seed, lab.chat(trunk)
    if isinstance(settings, DPOSettings):
        return train_dpo(trunk, lab.rankings(chat), settings, seed)
    judges = RankZeroOnly(RewardJudges(Ledger(compute=config.compute), config.judging))
    reward = build_reward(settings.reward, trunk, prompts, judges)
    tokens = [chat.prompt_ids(prompt.conversation) for prompt in prompts]
    if isinstance(settings, BestOfNSettings):
        return train_best_of_n(
            trunk, tokens, reward, settings, config.sampling, seed, sampler=lab.sampler
        )
    if isinstance(settings, PPOSettings):
        add_critic(trunk, settings)
    texts = ptx_texts(settings.ptx, chat, prompts) if settings.ptx else []
    return train_online(
        trunk, tokens, reward, settings, config.sampling, seed, texts, sampler=lab.sampler
    )


@dataclass(frozen=True)
class Trajectory:
    """Held-out answers of a policy while it moves away from the SFT model."""

    start: ScoredAnswers
    """Answers of the SFT model."""
    steps: Sequence[ScoredAnswers]
    """Answers of the policy, in the order of its training."""

    def curve(self, values: Sequence[float], start: float) -> Curve:
        """Return values over KL, beginning with the SFT model at KL 0.

        Args:
            values: Value of each measurement.
            start: Value of the SFT model.
        """
        kl = [max(0.0, answers.kl) for answers in self.steps]
        return [(0.0, start), *zip(kl, values, strict=True)]

    @property
    def reward_gain(self) -> Curve:
        """Gain of the reward model's score over KL, in its deviations on reference answers."""
        gains = [answers.mean_reward - self.start.mean_reward for answers in self.steps]
        return self.curve(gains, 0.0)

    @property
    def held_out_gain(self) -> Curve:
        """Gain of the held-out judge's score over KL."""
        gains = [answers.mean_held_out - self.start.mean_held_out for answers in self.steps]
        return self.curve(gains, 0.0)

    @property
    def win_rate(self) -> Curve:
        """Held-out win rate over the SFT model, over KL."""
        return self.curve([answers.win_rate(self.start) for answers in self.steps], 0.5)


def follow_policy(held_out: HeldOut, config: Config, trunk: Trunk, every: int) -> Trajectory:
    """Train a policy, and measure it on held-out prompts every so many steps.

    Args:
        held_out: The held-out prompts and their judge.
        config: Its `training`, `sampling` and `seed` decide.
        trunk: Holds a new policy and the reward model.
        every: Steps between two measurements.

    Returns:
        The held-out answers of each measurement.
    """
    lab = held_out.lab
    start = held_out.score(trunk, Role.REFERENCE)
    steps = policy_steps(lab, config, trunk, lab.prompts(Split.TRAIN))
    return Trajectory(start, [answers for _, answers in watch(held_out, trunk, steps, every)])
