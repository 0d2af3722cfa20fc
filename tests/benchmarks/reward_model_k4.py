"""A reward model's training step on one prompt's four answers, against TRL's on its six pairs."""

from rlhf_core.models.device import Compute
from tests.benchmarks.result import Result
from tests.benchmarks.versus import random_rankings, versus

ANSWERS, STEPS, GOAL = 4, 10, 4.0


def run(compute: Compute) -> list[Result]:
    return [against_trl("reward_model_k4", GOAL, ANSWERS, STEPS)]


def against_trl(name: str, goal: float, answers: int, steps: int) -> Result:
    """Prompts of so many answers, one a step."""
    return versus(
        name,
        goal,
        "seconds a prompt",
        "reward_model",
        "trl-1.16",
        "trl_reward.py",
        random_rankings(steps, answers),
        (1,),
    )
