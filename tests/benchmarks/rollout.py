"""Rolling out: tokens a second of our sampling and of transformers' generate, in one precision."""

import torch

from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.device import Compute
from rlhf_core.models.sampling import SamplingLimits, sample
from rlhf_core.models.sequences import pad
from tests.benchmarks.ratio import ratio
from tests.benchmarks.result import Result

TOKENS, GOAL = 48, 2.0
SHAPES = ((32, 1), (16, 4))
"""Prompts, and samples of each."""


def run(compute: Compute) -> list[Result]:
    """Both draw all 48 tokens of each answer; ours keeps their log-probabilities too."""
    return [_measure(compute, prompts, samples) for prompts, samples in SHAPES]


def _measure(compute: Compute, prompts: int, samples: int) -> Result:
    trunk = open_trunk("smollm2-135m-instruct", compute, lora_rank=1)
    model = trunk.language_model
    generator = torch.Generator().manual_seed(1)
    rows = [
        torch.randint(3, 40_000, (40 + 2 * n,), generator=generator).tolist()
        for n in range(prompts)
    ]
    limits = SamplingLimits(TOKENS, 1.0, eos_id=-1, pad_id=trunk.pad_id)
    ids = pad(rows, trunk.pad_id, left=True).to(compute.device)
    mask = pad([[1] * len(row) for row in rows], 0, left=True).to(compute.device)

    def ours() -> None:
        with compute.autocast():
            sample(model, rows, [list(range(samples))] * prompts, limits)

    def theirs() -> None:
        with compute.autocast(), torch.no_grad():
            model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=True,
                top_k=0,
                num_return_sequences=samples,
                min_new_tokens=TOKENS,
                max_new_tokens=TOKENS,
                pad_token_id=trunk.pad_id,
            )

    return ratio(
        "rollout",
        ours,
        "transformers generate",
        theirs,
        detail=f"{prompts} prompts × {samples}",
        goal=GOAL,
        amount=prompts * samples * TOKENS,
        unit="tokens a second",
    )
