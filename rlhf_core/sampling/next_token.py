"""Next-token probabilities of chosen tokens under a local model: a judge's soft label."""

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
    """Return the probability of each choice as the next token of each prompt.

    Args:
        model: A causal language model in evaluation mode.
        prompts: Tokens of each prompt.
        choices: Ids of the tokens to look at.
        pad_id: Padding token.
        tokens: Budget of one batch, in tokens, padding included.

    Returns:
        P(choice | prompt), fp32, (prompts, choices), on the CPU; a row sums to less than 1, since
        other tokens are possible too.
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
