"""Ours, as a process of its own that says how long each step took, to be set beside a peer's.

    python -m tests.benchmarks.workloads reward_model|dpo MODEL RANKINGS.json RANK PER_STEP
    python -m tests.benchmarks.workloads ppo MODEL RANKINGS.json RANK PER_STEP TOKENS EPOCHS
    python -m tests.benchmarks.workloads fixed_reward MODEL RANKINGS.json RANK PROMPTS.json FOLDER
    python -m tests.benchmarks.workloads ppo_to_reward MODEL PROMPTS.json RANK … FOLDER TARGET

The arguments are those of the peer's script.
"""

import copy
import json
import resource
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification

from rlhf_core.algorithms.dpo import train_dpo
from rlhf_core.algorithms.online import add_critic, train_online
from rlhf_core.algorithms.optimisation import TrainingStep
from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.algorithms.reward_model import normalise, train_reward_model
from rlhf_core.algorithms.reward_reader import RewardReader
from rlhf_core.algorithms.rewards import reward_model_score
from rlhf_core.algorithms.rollouts import roll_out
from rlhf_core.config.compute import ComputeSettings
from rlhf_core.config.training import DPOSettings, PPOSettings
from rlhf_core.config.tree import RewardModelSettings, SamplingSettings
from rlhf_core.models.artifacts import load_role, open_trunk, save_role
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.device import choose_compute
from rlhf_core.models.loading import locate
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
    reward = reward_model_score(RewardReader(trunk), caution=0.0)
    return train_online(trunk, prompts, reward, settings, sampling, seed=1)


def ppo_to_reward(
    trunk: Trunk,
    rankings: list[RankedCandidates],
    per_step: str,
    tokens: str,
    epochs: str,
    folder: str,
    target: str,
    seed: str,
) -> Iterator[TrainingStep]:
    """Until the mean of two steps' scores is the target.

    Few answers a step, two passes over them, and three times the default learning rate.
    """
    trunk.add_role(Role.POLICY, int(seed))
    load_role(trunk, Role.REWARD, Path(folder) / "role")
    settings = PPOSettings(
        steps=len(rankings) // int(per_step),
        samples_per_prompt=2,
        epochs=2,
        learning_rate=1.5e-3,
        critic_learning_rate=2e-3,
        missing_eos_score=None,
    )
    add_critic(trunk, settings)
    scores: list[float] = []
    prompts = [ranking.sequences[0].prompt_ids for ranking in rankings]
    sampling = SamplingSettings(max_new_tokens=int(tokens))
    reward = reward_model_score(RewardReader(trunk), caution=0.0)
    for step in train_online(trunk, prompts, reward, settings, sampling, int(seed)):
        yield step
        scores.append(step.metrics["score"])
        if sum(scores[-2:]) / len(scores[-2:]) >= float(target):
            return


def fixed_reward(
    trunk: Trunk, rankings: list[RankedCandidates], prompts_path: str, folder: str
) -> dict[str, float]:
    """Train a reward model, save it for both sides, and set a target above the model's answers."""
    for _ in train_reward_model(trunk, rankings, RewardModelSettings(), seed=1):
        pass
    normalise(trunk, [sequence for ranking in rankings for sequence in ranking.sequences])
    trunk.add_role(Role.POLICY, seed=1)
    prompts = [ranking.sequences[0].prompt_ids for ranking in read(prompts_path, trunk)[:32]]
    seeds = [[number] for number in range(len(prompts))]
    sampling = SamplingSettings(max_new_tokens=48)
    answers = roll_out(trunk, prompts, range(len(prompts)), seeds, sampling)
    scores = reward_model_score(RewardReader(trunk), caution=0.0)(answers).total
    save_role(trunk, Role.REWARD, Path(folder) / "role", Path(locate(trunk.tokenizer.name_or_path)))
    head = trunk.heads[Role.REWARD].linear
    save_classifier(trunk, Path(folder) / "classifier")
    start = scores.mean().item()
    return {
        "start": start,
        "target": start + scores.std().item(),
        "bias": head.bias.item(),
    }


def save_classifier(trunk: Trunk, folder: Path) -> None:
    """The reward role as transformers' own classifier, without the head's bias."""
    weight = trunk.heads[Role.REWARD].linear.weight.detach().to(trunk.compute.dtype)
    merged = trunk.roles.merge(Role.REWARD)
    config = copy.deepcopy(merged.config)
    config.num_labels = 1
    model = AutoModelForSequenceClassification.from_config(config, dtype=trunk.compute.dtype)
    model.base_model.load_state_dict(merged.base_model.state_dict())
    model.score.weight.data = weight
    model.save_pretrained(folder)


WORKS = {
    "reward_model": reward_model,
    "dpo": dpo,
    "ppo": ppo,
    "ppo_shared": partial(ppo, critic="shared"),
    "ppo_to_reward": ppo_to_reward,
}


def main() -> None:
    work, folder, path, rank, *arguments = sys.argv[1:]
    trunk = open_trunk(folder, choose_compute(ComputeSettings()), int(rank))
    rankings = read(path, trunk)
    if work == "fixed_reward":
        print(json.dumps(fixed_reward(trunk, rankings, *arguments)))
        return
    started, seconds, scores = time.perf_counter(), [], []
    for step in WORKS[work](trunk, rankings, *arguments):
        seconds.append(time.perf_counter() - started)
        scores.append(step.metrics.get("score"))
        started = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"seconds": seconds, "scores": scores, "peak_gb": peak}))


if __name__ == "__main__":
    main()
