"""A DPO step on eight prompts' pairs, against TRL's."""

from rlhf_core.models.device import Compute
from tests.benchmarks.result import Result
from tests.benchmarks.versus import random_rankings, versus

STEPS, PER_STEP, GOAL = 4, 8, 1.5


def run(compute: Compute) -> list[Result]:
    return [
        versus(
            "dpo_step",
            GOAL,
            "seconds a step",
            "dpo",
            "trl-1.16",
            "trl_dpo.py",
            random_rankings(STEPS * PER_STEP, answers=2),
            (PER_STEP,),
            warm_up=1,
        )
    ]
