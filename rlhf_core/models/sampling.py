"""Sampling answers from a local model, with the log-probabilities they were drawn with.

A prompt is read once for all its samples, and finished rows leave the batch. Each sample has a
seed of its own, so what is drawn does not depend on what else is in the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from rlhf_core.models.ranks import share, united, world
from rlhf_core.models.sequences import length_batches, pad
from rlhf_core.models.sharding import in_lockstep

COMPACT_BELOW = 0.75
"""Finished rows are dropped when fewer than this share of the batch still grows."""


@dataclass(frozen=True)
class Sample:
    """One answer; `finish_reason` is eos, or length when it was cut off."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: str


@dataclass(frozen=True)
class SamplingLimits:
    max_new_tokens: int
    temperature: float
    eos_id: int
    pad_id: int


def sample_all(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[Sequence[int]],
    limits: SamplingLimits,
    tokens: int,
) -> list[list[Sample]]:
    """`sample` in batches of prompts of similar length that fit a budget of tokens."""
    samples: dict[int, list[Sample]] = {}
    row_tokens = [len(seeds[0]) * (len(prompt) + limits.max_new_tokens) for prompt in prompts]
    with in_lockstep(model):
        for batch in share(length_batches(row_tokens, tokens // world())):
            drawn = sample(model, [prompts[i] for i in batch], [seeds[i] for i in batch], limits)
            samples.update(zip(batch, drawn, strict=True))
    samples = united(samples)
    return [samples[index] for index in range(len(prompts))]


@torch.no_grad()
def sample(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[Sequence[int]],
    limits: SamplingLimits,
) -> list[list[Sample]]:
    """Draw answers to a batch of prompts.

    Args:
        model: A causal language model in evaluation mode.
        prompts: Tokens of each prompt.
        seeds: For each prompt, the seed of each of its samples; the same number for all prompts.
        limits: Length, temperature, special tokens.

    Returns:
        For each prompt, its samples, in the order of the seeds. The end-of-text token, where it
        was drawn, is the last token of a sample.
    """
    samples_per_prompt = len(seeds[0])
    draws = _uniforms([seed for row in seeds for seed in row], limits.max_new_tokens)
    state = _Decoding(model, prompts, samples_per_prompt, limits.pad_id)
    rows = len(draws)
    tokens: list[list[int]] = [[] for _ in range(rows)]
    logprobs: list[list[float]] = [[] for _ in range(rows)]
    finished = [False] * rows
    for position in range(limits.max_new_tokens):
        chosen, chosen_logprobs = draw(
            state.logits / limits.temperature, draws[state.rows, position].to(state.logits.device)
        )
        for row, token, logprob in zip(
            state.rows, chosen.tolist(), chosen_logprobs.tolist(), strict=True
        ):
            if not finished[row]:
                tokens[row].append(token)
                logprobs[row].append(logprob)
                finished[row] = token == limits.eos_id
        if all(finished) or position + 1 == limits.max_new_tokens:
            break
        keep = [place for place, row in enumerate(state.rows) if not finished[row]]
        if len(keep) < COMPACT_BELOW * len(state.rows):
            state.keep(keep)
            chosen = chosen[keep]
        state.advance(chosen)
    samples = [
        Sample(tuple(ids), tuple(numbers), "eos" if ended else "length")
        for ids, numbers, ended in zip(tokens, logprobs, finished, strict=True)
    ]
    return [
        samples[start : start + samples_per_prompt] for start in range(0, rows, samples_per_prompt)
    ]


def draw(logits: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Sample one token a row by inverting the cumulative distribution.

    Args:
        logits: Already divided by the temperature, (B, V).
        uniforms: One number in [0, 1) a row, (B,).

    Returns:
        Token and its log-probability, both (B,). A token of probability 0 is never drawn.
    """
    logprobs = torch.log_softmax(logits.float(), dim=-1)
    cumulative = logprobs.exp().cumsum(dim=-1)
    threshold = uniforms[:, None] * cumulative[:, -1:]
    chosen = torch.searchsorted(cumulative, threshold, right=True)
    chosen = chosen.clamp(max=logits.shape[1] - 1)
    return chosen.squeeze(1), logprobs.gather(1, chosen).squeeze(1)


class _Decoding:
    """The batch while it grows: cache, mask, and which rows are still in it."""

    def __init__(
        self,
        model: PreTrainedModel,
        prompts: Sequence[Sequence[int]],
        samples_per_prompt: int,
        pad_id: int,
    ) -> None:
        self.model = model
        self.rows = list(range(len(prompts) * samples_per_prompt))
        self.cache = DynamicCache(config=model.config)
        input_ids = pad(prompts, pad_id, left=True).to(model.device)
        mask = pad([[1] * len(prompt) for prompt in prompts], 0, left=True).to(model.device)
        logits = self._forward(input_ids, mask, (mask.cumsum(1) - 1).clamp(min=0))
        self.cache.batch_repeat_interleave(samples_per_prompt)
        self.mask = mask.repeat_interleave(samples_per_prompt, dim=0)
        self.logits = logits.repeat_interleave(samples_per_prompt, dim=0)

    def advance(self, tokens: Tensor) -> None:
        """Append one token a row."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), 1)], dim=1)
        positions = self.mask.sum(dim=1, keepdim=True) - 1
        self.logits = self._forward(tokens[:, None], self.mask, positions)

    def keep(self, places: list[int]) -> None:
        """Drop all other rows."""
        index = torch.tensor(places, device=self.mask.device)
        self.rows = [self.rows[place] for place in places]
        self.mask = self.mask[index]
        self.cache.batch_select_indices(index)

    def _forward(self, input_ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        output = self.model.base_model(
            input_ids=input_ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
        )
        # Contiguous and flat: over a strided slice PyTorch would copy the embedding for every row.
        last = output.last_hidden_state[:, -1].contiguous()
        logits: Tensor = self.model.get_output_embeddings()(last)
        return logits


def _uniforms(seeds: Sequence[int], length: int) -> Tensor:
    """One row of numbers in [0, 1) a seed, (B, length)."""
    generator = torch.Generator()
    return torch.stack([torch.rand(length, generator=generator.manual_seed(s)) for s in seeds])
