"""FlexAttention under block masks against PyTorch's attention under dense ones."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from rlhf_core.models.kernels.flex import block_mask, branch_attention
from rlhf_core.models.sequences import Batch, TokenSequence, collate
from rlhf_core.models.trunk import Role
from tests.benchmarks.ratio import seconds
from tests.gpu_check.box import Box, stir
from tests.gpu_check.memory import peak_bytes
from tests.gpu_check.report import Figures, Report, require_close

ANSWERS, ROWS, TURNS = 8, 16, 3
SEQUENCES = [
    TokenSequence(tuple(range(3, 3 + prompt)), (answer,) * answer)
    for prompt, answers in ((150, (90, 140)), (7, (30, 20)))
    for answer in answers
]
"""Two rows, of which the longer has three blocks."""


class _Layer(nn.Module):
    """What attention reads of its layer."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.num_key_value_groups = groups


def measure(report: Report, box: Box) -> None:
    """Report whether both compute the same, and what one layer takes with each."""
    report.check("block masks compute what dense masks do", 15, partial(check, box))
    report.figure(
        f"one layer of {box.middle.name}, dense and block masks", 15, partial(time_layer, box)
    )


def check(box: Box) -> Figures:
    """Compare scores, and the gradient of their squares."""
    (scores, gradient), (dense_scores, dense_gradient) = (
        _scores_and_gradient(box, attention) for attention in ("flex", "sdpa")
    )
    difference = require_close("a score", (scores - dense_scores).abs().max().item(), 0.0, 1e-4)
    apart = (gradient - dense_gradient).norm() / dense_gradient.norm()
    return {
        "difference": difference,
        "gradient": require_close("the gradient's difference", apart.item(), 0.0, 1e-3),
    }


def time_layer(box: Box) -> Figures:
    """Return milliseconds and memory of a forward and backward pass of one layer's attention."""
    load, config = box.middle.load, box.middle.config
    rows, answers = (2, 2) if box.is_tiny else (ROWS, ANSWERS)
    prompt, answer = load.prompt_tokens, load.answer_tokens
    sequences = [
        TokenSequence((row,) * prompt, (1,) * answer) for row in range(rows) for _ in range(answers)
    ]
    batch = collate(sequences, 0, box.device)
    found: dict[str, float] = {"tokens": float(batch.input_ids.numel())}
    for name, prepare in (("dense", _under_dense_mask), ("blocks", _under_block_mask)):
        work = prepare(box, batch, config)
        found[f"{name}_first_s"] = seconds(work)
        found[f"{name}_ms"] = 1e3 * min(seconds(work) for _ in range(TURNS))
        found[f"{name}_gb"] = peak_bytes(box.device, work) / 1e9
    return found


def _scores_and_gradient(box: Box, attention: str) -> tuple[Tensor, Tensor]:
    trunk = box.trunk(attention=attention)
    trunk.add_role(Role.REWARD, 1)
    stir(trunk, Role.REWARD)
    scores = trunk.sequence_scores(Role.REWARD, trunk.batch(SEQUENCES))
    scores.square().sum().backward()
    gradients = [parameter.grad for parameter in trunk.parameters(Role.REWARD)]
    flat = torch.cat([each.flatten() for each in gradients if each is not None])
    return scores.detach().cpu(), flat.cpu()


def _under_dense_mask(box: Box, batch: Batch, config: Any) -> Callable[[], object]:
    hidden = torch.finfo(box.best).min
    mask = torch.zeros_like(batch.visible, dtype=box.best).masked_fill_(~batch.visible, hidden)
    return _passes(box, batch, config, partial(sdpa_attention_forward, attention_mask=mask))


def _under_block_mask(box: Box, batch: Batch, config: Any) -> Callable[[], object]:
    mask = block_mask(batch.branches, batch.position_ids, None)
    return _passes(box, batch, config, partial(branch_attention, attention_mask=mask))


def _passes(
    box: Box, batch: Batch, config: Any, attention: Callable[..., tuple[Tensor, None]]
) -> Callable[[], object]:
    """Return a forward and backward pass of one layer's attention on random queries."""
    heads, key_heads = config.num_attention_heads, config.num_key_value_heads
    layer = _Layer(heads // key_heads)
    rows, length = batch.input_ids.shape
    query, key, value = (
        torch.randn(
            rows, count, length, config.head_dim, device=box.device, dtype=box.best
        ).requires_grad_()
        for count in (heads, key_heads, key_heads)
    )
    return lambda: attention(layer, query, key, value)[0].sum().backward()
