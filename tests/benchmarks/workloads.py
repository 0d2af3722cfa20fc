"""Ours, as a process of its own that says how long each step took, to be set beside a peer's.

    python -m tests.benchmarks.workloads reward_model|dpo MODEL RANKINGS.json RANK PER_STEP
    python -m tests.benchmarks.workloads ppo MODEL RANKINGS.json RANK PER_STEP TOKENS EPOCHS

The arguments are those of the peer's script.
"""

import json
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from rlhf_core.algorithms.dpo import train_dpo
from rlhf_core.algorithms.online import add_critic, train_online
from rlhf_core.algorithms.optimisation import TrainingStep
from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.algorithms.reward_model import (
    score_sequences,
    train_reward_model,
)
from rlhf_core.algorithms.rollouts import Rollout
from rlhf_core.config.training import DPOSettings, PPOSettings
from rlhf_core.config.tree import ComputeSettings, RewardModelSettings, SamplingSettings
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.device import choose_compute
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk


def read(path: str, trunk: Trunk) -> list[RankedCandidates]:
    """The same words as the peer's, as plain text and not as a chat."""
    chat = ChatFormat(trunk.tokenizer, None)
    found = []
    for ranking in json.loads(Path(path).read_text()):
        prompt = tuple(chat.plain_ids(ranking["prompt"]))
        answers = tuple(
            TokenSequence(prompt, tuple(chat.answer_ids(a))) for a in ranking["answers"]
        )
        preferences = torch.ones(len(answers), len(answers)).triu(diagonal=1)
        found.append(RankedCandidates(answers, preferences))
    return found


def reward_model(
    trunk: Trunk, rankings: list[RankedCandidates], per_step: str
) -> Iterator[TrainingStep]:
    settings = RewardModelSettings(prompts_per_step=int(per_step))
    return train_reward_model(trunk, rankings, settings, seed=1)


def dpo(trunk: Trunk, rankings: list[RankedCandidates], per_step: str) -> Iterator[TrainingStep]:
    trunk.add_role(Role.POLICY, seed=1)
    settings = DPOSettings(algorithm="dpo", prompts_per_step=int(per_step))
    return train_dpo(trunk, rankings, settings, seed=1)


def ppo(
    trunk: Trunk,
    rankings: list[RankedCandidates],
    per_step: str,
    tokens: str,
    epochs: str,
    critic: str = "separate",
) -> Iterator[TrainingStep]:
    """Against a reward model that is one in size and not in sense."""
    trunk.add_role(Role.POLICY, seed=1)
    trunk.add_role(Role.REWARD, seed=1)

    def reward(answers: Sequence[Rollout]) -> Tensor:
        return score_sequences(trunk, [answer.tokens for answer in answers], Role.REWARD)

    settings = PPOSettings(
        critic="shared" if critic == "shared" else "separate",
        steps=len(rankings) // int(per_step),
        prompts_per_step=int(per_step),
        samples_per_prompt=1,
        epochs=int(epochs),
        minibatches=1,
        learning_rate=1e-4,
        critic_learning_rate=1e-4,
        missing_eos_score=None,
    )
    add_critic(trunk, settings)
    sampling = SamplingSettings(max_new_tokens=int(tokens))
    prompts = [ranking.sequences[0].prompt_ids for ranking in rankings]
    return train_online(trunk, prompts, reward, settings, sampling, seed=1)


WORKS = {
    "reward_model": reward_model,
    "dpo": dpo,
    "ppo": ppo,
    "ppo_shared": partial(ppo, critic="shared"),
}


def main() -> None:
    work, folder, path, rank, *arguments = sys.argv[1:]
    trunk = open_trunk(folder, choose_compute(ComputeSettings()), int(rank))
    rankings = read(path, trunk)
    started, seconds = time.perf_counter(), []
    for _ in WORKS[work](trunk, rankings, *arguments):
        seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"seconds": seconds, "peak_gb": peak}))


if __name__ == "__main__":
    main()
