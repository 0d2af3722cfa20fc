"""Ours for reward_model_accuracy: learn from rankings, print the scores of the held-out answers.

python -m tests.benchmarks.accuracy MODEL DATA.json RANK SEED
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.algorithms.reward_model import train_reward_model
from rlhf_core.algorithms.scoring import score_sequences
from rlhf_core.config.compute import ComputeSettings
from rlhf_core.config.tree import RewardModelSettings
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.device import choose_compute
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role

PROMPTS_PER_STEP = 4


def main() -> None:
    folder, path, rank, seed = sys.argv[1:]
    trunk = open_trunk(folder, choose_compute(ComputeSettings()), int(rank))
    chat = ChatFormat(trunk.tokenizer, None)

    def ranking(raw: dict[str, Any]) -> RankedCandidates:
        prompt = tuple(chat.plain_ids(raw["prompt"]))
        answers = tuple(TokenSequence(prompt, tuple(chat.answer_ids(a))) for a in raw["answers"])
        ranks = torch.tensor(raw["ranks"])
        return RankedCandidates(answers, (ranks[:, None] < ranks).float())

    data = json.loads(Path(path).read_text())
    settings = RewardModelSettings(prompts_per_step=PROMPTS_PER_STEP)
    learnt = [ranking(raw) for raw in data["learnt"]]
    for _ in train_reward_model(trunk, learnt, settings, int(seed)):
        pass
    held = [ranking(raw).sequences for raw in data["held"]]
    print(json.dumps([score_sequences(trunk, own, Role.REWARD).tolist() for own in held]))


if __name__ == "__main__":
    main()
