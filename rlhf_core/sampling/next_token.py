"""How likely a local model thinks certain tokens are to come next: a judge's soft label."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rlhf_core.models.kernels.attention import forward_only
from rlhf_core.models.kernels.logits import logit_rule
from rlhf_core.models.sequences import length_batches, pad


@torch.no_grad()
def next_token_probabilities(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    choices: Sequence[int],
    pad_id: int,
    tokens: int,
) -> Tensor:
    """P(choice | prompt), in fp32, on the CPU.

    Args:
        model: A causal language model in evaluation mode.
        prompts: Tokens of each prompt.
        choices: Tokens to look at.
        pad_id: Padding.
        tokens: Budget of one batch, padding included.

    Returns:
        (prompts, choices); a row sums to less than 1 where other tokens are likely too.
    """
    rule = logit_rule(model)
    probabilities = torch.zeros(len(prompts), len(choices))
    with forward_only(model):
        for batch in length_batches([len(prompt) for prompt in prompts], tokens):
            rows = [prompts[index] for index in batch]
            input_ids = pad(rows, pad_id).to(model.device)
            mask = pad([[1] * len(row) for row in rows], 0).to(model.device)
            hidden = model.base_model(input_ids=input_ids, attention_mask=mask).last_hidden_state
            last = hidden[torch.arange(len(rows)), mask.sum(dim=1) - 1]
            logits = rule(model.get_output_embeddings()(last)).float()
            probabilities[batch] = torch.softmax(logits, dim=-1)[:, list(choices)].cpu()
    return probabilities
