"""Four answers to each of eight prompts: our sampling against transformers' generate."""

import torch

from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.device import Compute
from rlhf_core.models.sampling import SamplingLimits, sample
from rlhf_core.models.sequences import pad
from tests.benchmarks.ratio import Ratio, ratio

PROMPTS, SAMPLES, TOKENS = 8, 4, 32


def run(compute: Compute) -> list[Ratio]:
    """The same model and precision; both draw all 32 tokens, ours keeps log-probabilities too."""
    trunk = open_trunk("smollm2-135m-instruct", compute, lora_rank=1)
    model = trunk.language_model
    generator = torch.Generator().manual_seed(1)
    prompts = [
        torch.randint(3, 40_000, (40 + 4 * n,), generator=generator).tolist()
        for n in range(PROMPTS)
    ]
    limits = SamplingLimits(TOKENS, 1.0, eos_id=-1, pad_id=trunk.pad_id)
    ids = pad(prompts, trunk.pad_id, left=True).to(compute.device)
    mask = pad([[1] * len(prompt) for prompt in prompts], 0, left=True).to(compute.device)

    def ours() -> None:
        with compute.autocast():
            sample(model, prompts, [list(range(SAMPLES))] * PROMPTS, limits)

    def theirs() -> None:
        with compute.autocast(), torch.no_grad():
            model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=True,
                top_k=0,
                num_return_sequences=SAMPLES,
                min_new_tokens=TOKENS,
                max_new_tokens=TOKENS,
                pad_token_id=trunk.pad_id,
            )

    return [ratio("sampling", ours, "transformers generate", theirs)]
