"""A reward model's training step on one prompt's nine answers, against TRL's on its 36 pairs."""

from rlhf_core.models.device import Compute
from tests.benchmarks.result import Result
from tests.benchmarks.reward_model_k4 import against_trl

ANSWERS, STEPS, GOAL = 9, 5, 15.0


def run(compute: Compute) -> list[Result]:
    return [against_trl("reward_model_k9", GOAL, ANSWERS, STEPS)]
