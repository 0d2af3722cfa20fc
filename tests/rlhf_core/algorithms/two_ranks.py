r"""Trains the tiny model by one algorithm and writes metrics and weights; `train` does so alone.

    torchrun … -m tests.rlhf_core.algorithms.two_ranks ALGORITHM OUT.safetensors \
        [adapters|full|node [CHECKPOINTS [KILL]]]

In reward_short rank 1 runs out of memory once. With full, all weights are trained, and sharded over
all ranks; with node, within each machine. Then the role is saved, too. KILL is the number of the
step after which all ranks are killed.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from rlhf_core.algorithms.checkpoints import NO_CHECKPOINTS, Checkpoints
from rlhf_core.algorithms.dpo import train_dpo
from rlhf_core.algorithms.online import add_critic, train_online
from rlhf_core.algorithms.optimisation import TrainingStep
from rlhf_core.algorithms.reward_model import train_reward_model
from rlhf_core.algorithms.sft import train_sft
from rlhf_core.config.training import DPOSettings, PPOSettings
from rlhf_core.config.tree import (
    ComputeSettings,
    RewardModelSettings,
    SamplingSettings,
    SFTSettings,
)
from rlhf_core.distributed.ranks import join_ranks, leave_ranks, rank, world_size
from rlhf_core.distributed.sharding import gathered, own_shard
from rlhf_core.models.artifacts import open_trunk, save_role
from rlhf_core.models.device import choose_compute
from rlhf_core.models.loading import locate
from rlhf_core.models.trunk import Role, Trunk
from tests.rlhf_core.algorithms.planted import planted_rankings, random_tokens, share_of_low

TOKENS = 40


def reward(trunk: Trunk, checkpoints: Checkpoints = NO_CHECKPOINTS) -> Iterator[TrainingStep]:
    settings = RewardModelSettings(prompts_per_step=6)
    return train_reward_model(trunk, planted_rankings(18, 1), settings, 1, checkpoints)


def sft(trunk: Trunk, checkpoints: Checkpoints = NO_CHECKPOINTS) -> Iterator[TrainingStep]:
    shown = [answer for ranking in planted_rankings(10, 1) for answer in ranking.sequences[:1]]
    settings = SFTSettings(prompts_per_step=3, learning_rate=1e-3)
    return train_sft(trunk, shown, settings, 1, checkpoints)


def reward_short(trunk: Trunk, checkpoints: Checkpoints = NO_CHECKPOINTS) -> Iterator[TrainingStep]:
    exact, left = Trunk.hidden_states, [rank()]

    def short(self: Trunk, *arguments: object) -> torch.Tensor:
        if left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return exact(self, *arguments)  # type: ignore[arg-type]

    Trunk.hidden_states = short  # type: ignore[method-assign]
    return reward(trunk, checkpoints)


def dpo(trunk: Trunk, checkpoints: Checkpoints = NO_CHECKPOINTS) -> Iterator[TrainingStep]:
    trunk.add_role(Role.POLICY, seed=1)
    settings = DPOSettings(algorithm="dpo", prompts_per_step=6)
    return train_dpo(trunk, planted_rankings(18, 1), settings, 1, checkpoints)


def ppo(trunk: Trunk, checkpoints: Checkpoints = NO_CHECKPOINTS) -> Iterator[TrainingStep]:
    trunk.add_role(Role.POLICY, seed=1)
    trunk.add_role(Role.REWARD, seed=1)
    settings = PPOSettings(steps=2, prompts_per_step=5, samples_per_prompt=2, epochs=2)
    add_critic(trunk, settings)
    generator = torch.Generator().manual_seed(2)
    prompts = [random_tokens(generator, 4 + index) for index in range(7)]
    sampling = SamplingSettings(max_new_tokens=6)
    return train_online(
        trunk, prompts, share_of_low, settings, sampling, 1, checkpoints=checkpoints
    )


def main() -> None:
    algorithm, out, *others = sys.argv[1:]
    checkpoints = Checkpoints(Path(others[1])) if others[1:] else NO_CHECKPOINTS
    kill_after = int(others[2]) if others[2:] else None
    join_ranks()
    train(algorithm, Path(out), others[0] if others else "adapters", checkpoints, kill_after)
    leave_ranks()


def train(
    algorithm: str,
    out: Path,
    weights: str = "adapters",
    checkpoints: Checkpoints = NO_CHECKPOINTS,
    kill_after: int | None = None,
) -> None:
    is_full = weights != "adapters"
    settings = ComputeSettings(
        device="cpu",
        precision="fp32",
        tokens_per_microbatch=TOKENS,
        shard="node" if weights == "node" else is_full,
    )
    trunk = open_trunk("tiny-random", choose_compute(settings), None if is_full else 4)
    works = {"sft": sft, "reward": reward, "reward_short": reward_short, "dpo": dpo, "ppo": ppo}
    steps = []
    for step in works[algorithm](trunk, checkpoints):
        if step.step == kill_after:  # its predecessors have checkpoints
            os.kill(os.getpid(), signal.SIGKILL)
        steps.append(step)
    role = {"sft": Role.SFT, "dpo": Role.POLICY, "ppo": Role.POLICY}.get(algorithm, Role.REWARD)
    trained = {name: gathered(weight) for name, weight in trunk.roles.weights(role).items()}
    held = sum(own_shard(weight).numel() for weight in trunk.roles.parameters(role))
    if is_full:
        save_role(trunk, role, out.with_suffix(""), Path(locate("tiny-random")))
    if rank() == 0:
        save_file({name: weight.clone() for name, weight in trained.items()}, out)
        metrics = [dict(step.metrics) for step in steps]
        report = {"world": world_size(), "held": held, "metrics": metrics}
        out.with_suffix(".json").write_text(json.dumps(report))


if __name__ == "__main__":
    main()
