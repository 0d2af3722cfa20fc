"""A PPO step, sampling and reward included: 16 prompts, 48 new tokens, four epochs; against TRL."""

from rlhf_core.models.device import Compute
from tests.benchmarks.result import Result
from tests.benchmarks.versus import random_rankings, versus

STEPS, PER_STEP, TOKENS, EPOCHS, GOAL = 3, 16, 48, 4, 4.0


def run(compute: Compute) -> list[Result]:
    """With a critic of its own adapter, as the peer's; and with one that shares the policy's."""
    return [
        versus(
            "ppo_step",
            GOAL,
            "seconds a step",
            work,
            "trl-1.12",
            "trl_ppo.py",
            random_rankings(STEPS * PER_STEP, answers=1),
            (PER_STEP, TOKENS, EPOCHS),
            warm_up=1,
            detail=detail,
        )
        for work, detail in (("ppo", "separate critic"), ("ppo_shared", "shared critic"))
    ]
