"""Sampling answers from a local model, with the log-probabilities they were drawn with.

A prompt is prefilled once for all its samples. When answers end, the next prompts take their rows,
so the batch stays full. Each sample has its own seed, so it does not depend on the rest of the
batch.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf_core.distributed.ranks import all_gather_mapping, share_of_rank
from rlhf_core.distributed.sharding import in_lockstep
from rlhf_core.models.architecture import position_arguments
from rlhf_core.models.kernels.attention import forward_only
from rlhf_core.models.kernels.kv_cache import CacheRows, GrowingCache, join_rows, new_cache
from rlhf_core.models.kernels.logits import logit_rule
from rlhf_core.models.kernels.packed import packed_linears
from rlhf_core.models.sequences import length_batches, pad

COMPACT_BELOW = 0.75
"""Finished rows are dropped when less than this share of the batch still grows."""
REFILL_BELOW = 0.9
"""New prompts are added when less than this share of the rows that fit into memory still grows."""
DRAW_BLOCK = 256
"""Number of tokens in a block: a draw first chooses a block by its sum, then a token in it."""
PREFILL_TOKENS, GPU_PREFILL_TOKENS = 1024, 16_384
"""Largest number of prompt tokens read at once, padding included."""


@dataclass(frozen=True)
class Sample:
    """One answer; `finish_reason` is eos, or length if it was cut off."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: str


@dataclass(frozen=True)
class SamplingLimits:
    max_new_tokens: int
    temperature: float
    end_ids: frozenset[int]
    """Ids of the tokens that end an answer."""
    pad_id: int


def sample_on_all_ranks(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[Sequence[int]],
    limits: SamplingLimits,
    tokens: int,
) -> list[list[Sample]]:
    """Draw answers to prompts, of which each rank samples its share.

    Args:
        model: A causal language model in evaluation mode.
        prompts: Tokens of each prompt.
        seeds: For each prompt, the seed of each of its samples.
        limits: Length, temperature, special tokens.
        tokens: Budget of one rank's batch, as in `sample`.

    Returns:
        On every rank, the samples of each prompt, in the order of the seeds.
    """
    own = share_of_rank(_longest_first(prompts))
    with in_lockstep([model], is_training=False):
        drawn = sample(model, [prompts[i] for i in own], [seeds[i] for i in own], limits, tokens)
    samples = all_gather_mapping(dict(zip(own, drawn, strict=True)))
    return [samples[index] for index in range(len(prompts))]


@torch.no_grad()
def sample(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[Sequence[int]],
    limits: SamplingLimits,
    tokens: int,
) -> list[list[Sample]]:
    """Draw answers to prompts.

    Args:
        model: A causal language model in evaluation mode.
        prompts: Tokens of each prompt.
        seeds: For each prompt, the seed of each of its samples.
        limits: Length, temperature, special tokens.
        tokens: Budget of tokens in memory, counting each answer at its greatest length. All samples
            of a prompt start at the same time, even if they alone exceed the budget.

    Returns:
        For each prompt, its samples, in the order of the seeds. If an end token was drawn, it is
        the last token of the sample.
    """
    answers = [
        [_GrowingAnswer(prompt, _uniforms(seed, limits.max_new_tokens)) for seed in row]
        for prompt, row in zip(prompts, seeds, strict=True)
    ]
    waiting = deque(answers[index] for index in _longest_first(prompts))
    batch = _GrowingBatch(model, limits)
    with forward_only(model), packed_linears(model):
        while True:
            growing = [n for n, answer in enumerate(batch.answers) if not answer.finish_reason]
            newcomers = _take_newcomers(
                waiting, [batch.answers[n] for n in growing], limits, tokens
            )
            if not growing and not newcomers:
                break
            if newcomers or len(growing) < COMPACT_BELOW * len(batch.answers):
                batch.regroup(growing, newcomers)
            batch.draw()
    return [[answer.sample() for answer in row] for row in answers]


def prefill_tokens(device: torch.device) -> int:
    """Return the number of prompt tokens to read at once; a GPU would be idle with few."""
    return GPU_PREFILL_TOKENS if device.type == "cuda" else PREFILL_TOKENS


def draw(logits: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Sample one token a row by inverting the cumulative distribution.

    Args:
        logits: Logits divided by the temperature, (B, V).
        uniforms: One number in [0, 1) a row, (B,).

    Returns:
        Token and its log-probability in nats, both (B,). A token of probability 0 is never drawn.
    """
    probabilities = torch.softmax(logits, dim=-1, dtype=torch.float32)
    # Two levels, blocks and then one block of each row: a running sum over V would be the slowest
    # pass.
    blocks = _in_blocks(probabilities)
    block, passed = _first_index_beyond(blocks.sum(dim=-1), uniforms)
    rows = torch.arange(len(logits), device=logits.device)
    place, _ = _first_index_beyond(blocks[rows, block], passed)
    chosen = (block * DRAW_BLOCK + place)[:, None]
    # log p of the likeliest token is exact in fp32; the others differ from it by their logits.
    likeliest = probabilities.amax(dim=-1).log()
    behind = logits.gather(1, chosen).squeeze(1).float() - logits.amax(dim=-1).float()
    return chosen.squeeze(1), likeliest + behind


def _in_blocks(probabilities: Tensor) -> Tensor:
    """Return (B, V) as (B, blocks, DRAW_BLOCK), padded with 0."""
    missing = -probabilities.shape[1] % DRAW_BLOCK
    filled = nn.functional.pad(probabilities, (0, missing)) if missing else probabilities
    return filled.view(len(filled), -1, DRAW_BLOCK)


def _first_index_beyond(weights: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the running sum of a row's weights first exceeds a share of their sum.

    Args:
        weights: Nonnegative, with at least one positive weight a row, (B, N).
        shares: In [0, 1), (B,).

    Returns:
        The index of a positive weight, and how far into that weight the share reaches, in [0, 1),
        both (B,).
    """
    running = weights.cumsum(dim=-1)
    whole = running[:, -1:]
    # A share that rounds up to the whole would have no index.
    reached = torch.minimum(
        shares[:, None] * whole, torch.nextafter(whole, torch.zeros_like(whole))
    )
    place = torch.searchsorted(running, reached, right=True)
    weight = weights.gather(1, place)
    before = running.gather(1, (place - 1).clamp(min=0)) * (place > 0)
    return place.squeeze(1), ((reached - before) / weight).squeeze(1)


@dataclass
class _GrowingAnswer:
    """A sample while it grows; `finish_reason` is empty until it ends."""

    prompt: Sequence[int]
    uniforms: list[float]
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: str = ""

    def add(self, token: int, logprob: float, end_ids: frozenset[int]) -> None:
        if self.finish_reason:
            return
        self.token_ids.append(token)
        self.logprobs.append(logprob)
        if token in end_ids:
            self.finish_reason = "eos"
        elif len(self.token_ids) == len(self.uniforms):
            self.finish_reason = "length"

    @property
    def next_uniform(self) -> float:
        """The number for the next draw; any number if finished, since that draw is dropped."""
        return self.uniforms[min(len(self.token_ids), len(self.uniforms) - 1)]

    def sample(self) -> Sample:
        return Sample(tuple(self.token_ids), tuple(self.logprobs), self.finish_reason)


def _take_newcomers(
    waiting: deque[list[_GrowingAnswer]],
    growing: Sequence[_GrowingAnswer],
    limits: SamplingLimits,
    tokens: int,
) -> list[list[_GrowingAnswer]]:
    """Remove and return the next prompts that fit, longest first; none until enough fit."""
    longest = max((len(answer.prompt) for answer in growing), default=0)
    if waiting:
        longest = max(longest, len(waiting[0][0].prompt))
    rows = tokens // (longest + limits.max_new_tokens)
    newcomers: list[list[_GrowingAnswer]] = []
    if growing and len(growing) >= REFILL_BELOW * rows:
        return newcomers
    count = len(growing)
    while waiting and (count == 0 or count + len(waiting[0]) <= rows):
        count += len(waiting[0])
        newcomers.append(waiting.popleft())
    return newcomers


class _GrowingBatch:
    """Answers that grow at the same time, a row each: cache, lengths and next logits."""

    def __init__(self, model: PreTrainedModel, limits: SamplingLimits) -> None:
        self.model, self.limits, self.rule = model, limits, logit_rule(model)
        self.answers: list[_GrowingAnswer] = []
        self.cache = new_cache(model)
        self.lengths = torch.zeros(0, dtype=torch.long, device=model.device)
        self.logits = torch.zeros(0, device=model.device)
        """Logits of the next token of each answer, (B, V)."""

    def regroup(self, places: list[int], newcomers: Sequence[list[_GrowingAnswer]]) -> None:
        """Keep only the answers at these places, and prefill the prompts of new answers."""
        kept = torch.tensor(places, dtype=torch.long, device=self.model.device)
        lengths, logits = [self.lengths[kept]], [self.logits[kept]]
        parts = [CacheRows(self.cache, kept, int(lengths[0].max()))] if places else []
        self.answers = [self.answers[place] for place in places]
        prompts = [row[0].prompt for row in newcomers]
        at_once = prefill_tokens(self.model.device)
        for chunk in length_batches([len(prompt) for prompt in prompts], at_once):
            cache, read, ends = self._read([prompts[index] for index in chunk])
            rows = torch.tensor([len(newcomers[index]) for index in chunk])
            repeated = torch.arange(len(chunk)).repeat_interleave(rows).to(self.model.device)
            parts.append(CacheRows(cache, repeated, int(read.max())))
            lengths.append(read[repeated])
            logits.append(ends[repeated])
            self.answers.extend(answer for index in chunk for answer in newcomers[index])
        self.cache, self.lengths = join_rows(parts), torch.cat(lengths)
        self.logits = torch.cat([part for part in logits if len(part)])

    def draw(self) -> None:
        """Add a token to each answer, and compute the next logits unless all have ended."""
        uniforms = torch.tensor([answer.next_uniform for answer in self.answers])
        logits, temperature = self.logits, self.limits.temperature
        # Only if it changes something, since it is a pass over all logits.
        scaled = logits if temperature == 1.0 else logits.float() / temperature
        chosen, logprobs = draw(scaled, uniforms.to(logits.device))
        # Read at once, for which fp32 is exact: a token is below 2^24.
        drawn = torch.stack([chosen.float(), logprobs]).tolist()
        for answer, token, logprob in zip(self.answers, *drawn, strict=True):
            answer.add(int(token), logprob, self.limits.end_ids)
        if not all(answer.finish_reason for answer in self.answers):
            self._advance(chosen)

    def _read(self, prompts: Sequence[Sequence[int]]) -> tuple[GrowingCache, Tensor, Tensor]:
        """Return the cache of some prompts, their lengths, and the logits of their next tokens."""
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self.model.device)
        ids = pad(prompts, self.limits.pad_id, left=True).to(self.model.device)
        mask = _right_aligned_mask(lengths, ids.shape[1])
        cache = new_cache(self.model)
        logits = self._forward(ids, mask, (mask.cumsum(1) - 1).clamp(min=0), cache)
        return cache, lengths, logits

    def _advance(self, tokens: Tensor) -> None:
        positions = self.lengths[:, None]
        self.lengths = self.lengths + 1
        mask = _right_aligned_mask(self.lengths, self.cache.get_seq_length() + 1)
        self.logits = self._forward(tokens[:, None], mask, positions, self.cache)

    def _forward(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: GrowingCache) -> Tensor:
        output = self.model.base_model(
            input_ids=ids,
            attention_mask=mask,
            **position_arguments(self.model, positions),
            past_key_values=cache,
            use_cache=True,
        )
        # Contiguous: for a strided slice PyTorch would copy the output embedding for every row.
        last = output.last_hidden_state[:, -1].contiguous()
        return self.rule(self.model.get_output_embeddings()(last))


def _right_aligned_mask(lengths: Tensor, columns: int) -> Tensor:
    """Return 1 where a right-aligned row of that length has a token, else 0, (B, columns)."""
    from_right = torch.arange(columns, 0, -1, device=lengths.device)
    return (from_right <= lengths[:, None]).long()


def _longest_first(prompts: Sequence[Sequence[int]]) -> list[int]:
    return sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))


def _uniforms(seed: int, length: int) -> list[float]:
    """Return `length` numbers in [0, 1) that follow from the seed alone."""
    numbers: list[float] = torch.rand(
        length, generator=torch.Generator().manual_seed(seed)
    ).tolist()
    return numbers
