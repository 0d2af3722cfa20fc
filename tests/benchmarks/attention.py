"""Training pass of the default policy: grouped attention against transformers' own sdpa."""

import torch
from transformers import AutoModelForCausalLM

from rlhf_core.models.device import Compute
from rlhf_core.models.kernels.attention import GROUPED
from rlhf_core.models.loading import locate
from tests.benchmarks.ratio import ratio
from tests.benchmarks.result import Result

ROWS, TOKENS = 11, 180


def run(compute: Compute) -> list[Result]:
    """Forward and backward over 11 rows of 180 tokens with all weights frozen but the input."""
    works = {}
    for name in (GROUPED, "sdpa"):
        model = AutoModelForCausalLM.from_pretrained(
            locate("smollm2-135m-instruct"), dtype=compute.dtype, attn_implementation=name
        ).to(compute.device)
        model.requires_grad_(False)
        ids = torch.randint(3, 40_000, (ROWS, TOKENS), device=compute.device)
        inputs = model.get_input_embeddings()(ids).detach().requires_grad_()

        def work(model: torch.nn.Module = model, inputs: torch.Tensor = inputs) -> None:
            model.base_model(inputs_embeds=inputs).last_hidden_state.sum().backward()

        works[name] = work
    return [
        ratio(
            "attention", works[GROUPED], "transformers sdpa", works["sdpa"], detail="training pass"
        )
    ]
