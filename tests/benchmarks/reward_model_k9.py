"""A reward model's training step on one prompt's nine answers, against TRL's on its 36 pairs."""

from rlhf_core.models.device import Compute
from tests.benchmarks.versus import Versus, random_rankings, versus

ANSWERS, STEPS, GOAL = 9, 5, 15.0


def run(compute: Compute) -> list[Versus]:
    return [
        versus(
            "reward_model_k9",
            GOAL,
            "seconds a prompt",
            "reward_model",
            "trl-1.16",
            "trl_reward.py",
            random_rankings(STEPS, ANSWERS),
            per_step=1,
        )
    ]
