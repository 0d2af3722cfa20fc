"""Four answers to a prompt in one row against a row each: the same numbers, less work."""

import torch

from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.device import Compute
from rlhf_core.models.sequences import TokenSequence, collate
from rlhf_core.models.trunk import Role
from tests.benchmarks.ratio import ratio
from tests.benchmarks.result import Result

PROMPTS, ANSWERS, PROMPT_TOKENS, ANSWER_TOKENS = 6, 4, 80, 20


def run(compute: Compute) -> list[Result]:
    """The reward model's forward and backward pass over the candidates of six prompts."""
    trunk = open_trunk("smollm2-135m-instruct", compute, lora=16)
    trunk.add_role(Role.REWARD, 1)
    generator = torch.Generator().manual_seed(1)

    def draw(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, 40_000, (length,), generator=generator).tolist())

    groups = []
    for _ in range(PROMPTS):
        prompt = draw(PROMPT_TOKENS)
        groups.append([TokenSequence(prompt, draw(ANSWER_TOKENS)) for _ in range(ANSWERS)])
    together = collate([s for group in groups for s in group], trunk.pad_id, compute.device)
    columns = [
        collate([group[place] for group in groups], trunk.pad_id, compute.device)
        for place in range(ANSWERS)
    ]

    def shared() -> None:
        trunk.sequence_scores(Role.REWARD, together).sum().backward()

    def apart() -> None:
        for batch in columns:
            trunk.sequence_scores(Role.REWARD, batch).sum().backward()

    return [ratio("shared_prompts", shared, "a row an answer", apart, detail="reward model's pass")]
