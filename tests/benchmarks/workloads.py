"""Ours, as a process of its own that says how long each step took, to be set beside a peer's.

python -m tests.benchmarks.workloads reward_model|dpo MODEL_FOLDER RANKINGS.json RANK PER_STEP
"""

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from rlhf_core.algorithms.dpo import train_dpo
from rlhf_core.algorithms.optimisation import TrainingStep
from rlhf_core.algorithms.reward_model import RankedCandidates, train_reward_model
from rlhf_core.config.training import DPOSettings
from rlhf_core.config.tree import ComputeSettings, RewardModelSettings
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


def steps(
    work: str, trunk: Trunk, rankings: list[RankedCandidates], per_step: int
) -> Iterator[TrainingStep]:
    if work == "reward_model":
        settings = RewardModelSettings(prompts_per_step=per_step)
        return train_reward_model(trunk, rankings, settings, seed=1)
    trunk.add_role(Role.POLICY, seed=1)
    dpo = DPOSettings(algorithm="dpo", prompts_per_step=per_step)
    return train_dpo(trunk, rankings, dpo, seed=1)


def main() -> None:
    work, folder, path, rank, per_step = sys.argv[1:]
    trunk = open_trunk(folder, choose_compute(ComputeSettings()), int(rank))
    rankings = read(path, trunk)
    started, seconds = time.perf_counter(), []
    for _ in steps(work, trunk, rankings, int(per_step)):
        seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"seconds": seconds, "peak_gb": peak}))


if __name__ == "__main__":
    main()
