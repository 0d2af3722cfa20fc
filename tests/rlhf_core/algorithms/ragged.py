"""Answers of different lengths, for which a mean that counts padding is wrong."""

import torch

from rlhf_core.algorithms.rollouts import Rollout
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk

PROMPTS = ((10, 11, 12), (20, 21, 22), (30, 31, 32), (40, 41, 42))
ANSWERS = (
    ((50,), (51, 52, 53, 54)),
    ((60, 61), (62,)),
    ((70, 71, 72), (73, 74)),
    ((80,), (81, 82)),
)
"""Two answers to each prompt; prompt and answer have 8, 6, 8 and 6 tokens."""


def ragged_rollouts() -> list[Rollout]:
    return [
        Rollout(
            index,
            TokenSequence(PROMPTS[index], answer),
            "",
            (0.0,) * len(answer),
            "length" if answer == (50,) else "eos",
        )
        for index, answers in enumerate(ANSWERS)
        for number, answer in enumerate(answers)
    ]


def disturb(trunk: Trunk, role: Role) -> None:
    """Give a role fixed weights that differ from the reference's."""
    generator = torch.Generator().manual_seed(3)
    for parameter in trunk.parameters(role):
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
