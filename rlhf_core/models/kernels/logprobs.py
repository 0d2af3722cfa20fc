"""Log-probabilities of chosen tokens without the logits of all rows in memory.

The logits of some rows at a time are computed, read and dropped; the backward pass recomputes them.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from rlhf_core.models.kernels.logits import IDENTITY, LogitRule

ROWS = 256
"""Number of states whose logits are in memory at once."""


def chosen_logprobs(
    states: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    ids: Tensor,
    temperature: float,
    with_entropy: bool = True,
    rule: LogitRule = IDENTITY,
) -> tuple[Tensor, Tensor]:
    """Return the log-probability of each chosen token, and the entropy it was chosen at.

    Products are in the precision of the weight, everything after them in fp32.

    Args:
        states: Last hidden states, (N, H).
        weight: Output embedding, (V, H).
        bias: Bias of the output embedding, (V,), or None.
        ids: Chosen tokens, (N,).
        temperature: Divides the logits, after `rule`.
        with_entropy: False leaves the entropy at 0, which saves its computation.
        rule: How the model scales and caps its logits.

    Returns:
        log p(id) and −Σ p log p over the vocabulary, both in nats, fp32, (N,).
    """
    bias = bias if bias is not None else torch.zeros((), dtype=weight.dtype, device=weight.device)
    both = _ChosenLogprobs.apply(states, weight, bias, ids, temperature, with_entropy, rule)
    return both


class _ChosenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        states: Tensor,
        weight: Tensor,
        bias: Tensor,
        ids: Tensor,
        temperature: float,
        with_entropy: bool,
        rule: LogitRule,
    ) -> tuple[Tensor, Tensor]:
        states = states.to(weight.dtype)
        chosen = states.new_empty(len(states), dtype=torch.float32)
        entropy = torch.zeros_like(chosen)
        with torch.autocast(states.device.type, enabled=False):
            for start in range(0, len(states), ROWS):
                rows = slice(start, start + ROWS)
                logits = _logits(states[rows], weight, bias, temperature, rule)
                logprobs = torch.log_softmax(logits, dim=-1, dtype=torch.float32)
                chosen[rows] = logprobs.gather(1, ids[rows, None]).squeeze(1)
                if with_entropy:
                    entropy[rows] = -(logprobs.exp() * logprobs).sum(dim=-1)
        ctx.save_for_backward(states, weight, bias, ids, entropy)
        ctx.temperature, ctx.rule = temperature, rule  # type: ignore[attr-defined]
        ctx.with_entropy = with_entropy  # type: ignore[attr-defined]
        return chosen, entropy

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        states, weight, bias, ids, entropy = ctx.saved_tensors
        of_chosen, of_entropy = gradients
        of_states = torch.empty_like(states)
        is_trained = ctx.needs_input_grad[1]
        of_weight = torch.zeros_like(weight, dtype=torch.float32) if is_trained else None
        of_bias = torch.zeros_like(bias) if ctx.needs_input_grad[2] else None
        for start in range(0, len(states), ROWS):
            rows = slice(start, start + ROWS)
            logits = _logits(states[rows], weight, bias, ctx.temperature, ctx.rule)
            factor = -of_chosen[rows, None]
            if ctx.with_entropy:
                # Gradient of the entropy H: −p (log p + H).
                logprobs = torch.log_softmax(logits, dim=-1, dtype=torch.float32)
                factor = factor - of_entropy[rows, None] * (logprobs + entropy[rows, None])
            # Gradient of log p(chosen): 1 at the chosen token, minus p.
            of_logits = torch.softmax(logits, dim=-1).to(weight.dtype)
            of_logits *= factor.to(weight.dtype)
            of_logits.scatter_add_(1, ids[rows, None], of_chosen[rows, None].to(weight.dtype))
            of_logits.div_(ctx.temperature)
            if ctx.rule != IDENTITY:
                of_logits.mul_(ctx.rule.slope(logits * ctx.temperature))
            of_states[rows] = of_logits @ weight
            if of_weight is not None:
                of_weight += (of_logits.T @ states[rows]).float()
            if of_bias is not None:
                of_bias += of_logits.sum(dim=0)
        cast = of_weight.to(weight.dtype) if of_weight is not None else None
        return of_states, cast, of_bias, None, None, None, None


def _logits(
    states: Tensor, weight: Tensor, bias: Tensor, temperature: float, rule: LogitRule
) -> Tensor:
    logits = states @ weight.T
    if bias.dim():
        logits += bias
    logits = rule(logits)
    # Only if it changes something, since it is a pass over all logits.
    return logits if temperature == 1.0 else logits.float() / temperature
