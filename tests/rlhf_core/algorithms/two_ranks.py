"""Trains the tiny model by one algorithm and writes metrics and weights; `train` does so alone.

    torchrun … -m tests.rlhf_core.algorithms.two_ranks reward|reward_short|dpo|ppo OUT.safetensors

In reward_short rank 1 runs out of memory once.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from rlhf_core.algorithms.dpo import train_dpo
from rlhf_core.algorithms.online import add_critic, train_online
from rlhf_core.algorithms.optimisation import TrainingStep
from rlhf_core.algorithms.reward_model import train_reward_model
from rlhf_core.config.training import DPOSettings, PPOSettings
from rlhf_core.config.tree import ComputeSettings, RewardModelSettings, SamplingSettings
from rlhf_core.distributed.ranks import join_ranks, leave_ranks, rank, world_size
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.device import choose_compute
from rlhf_core.models.trunk import Role, Trunk
from tests.rlhf_core.algorithms.planted import planted_rankings, random_tokens, share_of_low

TOKENS = 40


def reward(trunk: Trunk) -> Iterator[TrainingStep]:
    settings = RewardModelSettings(prompts_per_step=6)
    return train_reward_model(trunk, planted_rankings(18, 1), settings, seed=1)


def reward_short(trunk: Trunk) -> Iterator[TrainingStep]:
    exact, left = Trunk.hidden_states, [rank()]

    def short(self: Trunk, *arguments: object) -> torch.Tensor:
        if left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return exact(self, *arguments)  # type: ignore[arg-type]

    Trunk.hidden_states = short  # type: ignore[method-assign]
    return reward(trunk)


def dpo(trunk: Trunk) -> Iterator[TrainingStep]:
    trunk.add_role(Role.POLICY, seed=1)
    settings = DPOSettings(algorithm="dpo", prompts_per_step=6)
    return train_dpo(trunk, planted_rankings(18, 1), settings, seed=1)


def ppo(trunk: Trunk) -> Iterator[TrainingStep]:
    trunk.add_role(Role.POLICY, seed=1)
    trunk.add_role(Role.REWARD, seed=1)
    settings = PPOSettings(steps=2, prompts_per_step=5, samples_per_prompt=2, epochs=2)
    add_critic(trunk, settings)
    generator = torch.Generator().manual_seed(2)
    prompts = [random_tokens(generator, 4 + index) for index in range(7)]
    sampling = SamplingSettings(max_new_tokens=6)
    return train_online(trunk, prompts, share_of_low, settings, sampling, seed=1)


def main() -> None:
    join_ranks()
    train(sys.argv[1], Path(sys.argv[2]))
    leave_ranks()


def train(algorithm: str, out: Path) -> None:
    settings = ComputeSettings(device="cpu", precision="fp32", tokens_per_microbatch=TOKENS)
    trunk = open_trunk("tiny-random", choose_compute(settings), lora_rank=4)
    works = {"reward": reward, "reward_short": reward_short, "dpo": dpo, "ppo": ppo}
    steps = list(works[algorithm](trunk))
    role = Role.REWARD if algorithm.startswith("reward") else Role.POLICY
    if rank() == 0:
        save_file(trunk.roles.weights(role), out)
        metrics = [dict(step.metrics) for step in steps]
        out.with_suffix(".json").write_text(json.dumps({"world": world_size(), "metrics": metrics}))


if __name__ == "__main__":
    main()
