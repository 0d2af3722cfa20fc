"""Ragged token sequences, and the padded batches that a model reads. No model here.

Responses to the same prompt share one row, `[prompt, response 1, …, response n]`: the positions of
each response start after the prompt, and the mask lets it see only the prompt and itself. So the
prompt is computed once, and the results equal those of a row for each response
(tests/rlhf_core/models/test_sequences.py).

Dimensions: B rows, T tokens of the longest row, N responses, R tokens of the longest response.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import torch
from torch import Tensor

from rlhf_core.models.kernels.branches import PADDING_BRANCH, PROMPT_BRANCH

LEAST_FILLED = 0.7
"""A row that would fill a smaller share of its padded width goes into the next micro-batch."""


@dataclass(frozen=True)
class TokenSequence:
    """A prompt and a response as tokens; a sampled response is never decoded and encoded again."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.response_ids)


@dataclass(frozen=True)
class Batch:
    """Rows for the model, and the positions at which to read its outputs for each response.

    `predictors[n, r]` is the position whose hidden state predicts token r of response n: the one
    before it. Critics are read there too, so a value belongs to the state before its token.
    """

    input_ids: Tensor
    """(B, T), padded on the right."""
    position_ids: Tensor
    """(B, T)"""
    real: Tensor
    """(B, T), true where a token is not padding."""
    branches: Tensor
    """Branch of each token, (B, T): PROMPT_BRANCH, the number of an answer in its row from 1, or
    PADDING_BRANCH."""
    response_rows: Tensor
    """Row of each response, (N,)."""
    response_ids: Tensor
    """(N, R)"""
    response_mask: Tensor
    """(N, R), true where a response token is real."""
    predictors: Tensor
    """(N, R), 0 where there is no token."""
    last: Tensor
    """Position of each response's last real token, (N,)."""
    token_ids: Tensor
    """The n real response tokens, one response after another, (n,)."""
    token_cells: Tensor
    """Cell of each of them in the flattened (N, R), (n,). As indices, because a mask would make the
    host wait for the device to count its cells."""
    token_predictors: Tensor
    """Cell of the position that predicts each of them in the flattened (B, T), (n,)."""

    @cached_property
    def visible(self) -> Tensor:
        """Keys that each query token may attend to, (B, 1, T, T)."""
        return _visible(self.branches)

    def visible_within(self, window: int | None) -> Tensor:
        """Return the visible keys fewer than `window` positions back, (B, 1, T, T); None: all.

        Padding has position 0, so it still sees everything before it.
        """
        if window is None:
            return self.visible
        distance = self.position_ids[:, :, None] - self.position_ids[:, None, :]
        return self.visible & (distance < window)[:, None]

    def at_predictors(self, states: Tensor) -> Tensor:
        """Return the state before each response token, (N, R, H), out of (B, T, H)."""
        return states[self.response_rows[:, None], self.predictors]

    def before_tokens(self, states: Tensor) -> Tensor:
        """Return the state before each real response token, (n, H), out of (B, T, H)."""
        return states.flatten(0, 1)[self.token_predictors]

    def in_cells(self, values: Tensor) -> Tensor:
        """Return a value of each real response token, (n,), as (N, R), 0 elsewhere."""
        cells = values.new_zeros(self.response_mask.numel())
        return cells.scatter(0, self.token_cells, values).view(self.response_mask.shape)

    def at_last(self, states: Tensor) -> Tensor:
        """Return the state at the end of each response, (N, H), out of (B, T, H)."""
        return states[self.response_rows, self.last]


def collate(
    sequences: Sequence[TokenSequence],
    pad_id: int,
    device: torch.device | None = None,
    is_shared: bool = True,
) -> Batch:
    """Return sequences as one batch; responses keep their order.

    Args:
        sequences: At least one.
        pad_id: Padding token.
        device: Device of the tensors; None is the CPU.
        is_shared: True for one row a distinct prompt, False for one row a response.

    Returns:
        The batch of B rows and N responses.
    """
    groups = group_by_prompt(sequences) if is_shared else [[i] for i in range(len(sequences))]
    rows = [_row(sequences, group) for group in groups]
    branches = pad([row.branches for row in rows], PADDING_BRANCH).to(device)
    starts = {index: start for row in rows for index, start in row.starts}
    row_of = {index: number for number, group in enumerate(groups) for index in group}
    responses = [sequence.response_ids for sequence in sequences]
    mask = pad([[1] * len(response) for response in responses], 0).bool()
    positions = torch.tensor([starts[i] for i in range(len(sequences))])[:, None] + torch.arange(
        mask.shape[1]
    )
    prompt_ends = torch.tensor([len(sequence.prompt_ids) - 1 for sequence in sequences])
    predictors = torch.cat([prompt_ends[:, None], positions[:, :-1]], dim=1)
    owners = torch.tensor([row_of[i] for i in range(len(sequences))])
    ids = pad(responses, pad_id)
    return Batch(
        input_ids=pad([row.ids for row in rows], pad_id).to(device),
        position_ids=pad([row.positions for row in rows], 0).to(device),
        real=branches != PADDING_BRANCH,
        branches=branches,
        response_rows=owners.to(device),
        response_ids=ids.to(device),
        response_mask=mask.to(device),
        predictors=(predictors * mask).to(device),
        last=(positions * mask).amax(dim=1).to(device),
        token_ids=ids[mask].to(device),
        token_cells=mask.flatten().nonzero().squeeze(1).to(device),
        token_predictors=(owners[:, None] * branches.shape[1] + predictors)[mask].to(device),
    )


def microbatches(
    sequences: Sequence[TokenSequence], tokens: int, is_shared: bool = True, shares: int = 1
) -> list[list[int]]:
    """Return the indices of sequences in micro-batches that fit a budget of tokens.

    Rows of similar length share a micro-batch. Responses to the same prompt stay together. The
    micro-batches are as few as the budget allows, rounded up to a multiple of `shares`, and of
    equal size as far as possible: a full batch and a remnant take longer than two halves.

    Args:
        sequences: The sequences.
        tokens: Budget of one micro-batch, padding included; a longer prompt group stands alone.
        is_shared: True if responses to one prompt share a row.
        shares: Number of ranks that share the micro-batches.

    Returns:
        Lists of indices, which partition the sequences.
    """
    groups = group_by_prompt(sequences)
    rows = [1 if is_shared else len(group) for group in groups]
    lengths = [
        len(_row(sequences, group).ids) if is_shared else max(len(sequences[i]) for i in group)
        for group in groups
    ]
    most = shares * ceil(len(_fill(lengths, rows, tokens)) / shares)
    fitting = range(1, tokens + 1)
    least = fitting[bisect_left(fitting, -most, key=lambda t: -len(_fill(lengths, rows, t)))]
    return [
        [index for number in batch for index in groups[number]]
        for batch in _fill(lengths, rows, least)
    ]


def _fill(lengths: Sequence[int], rows: Sequence[int], tokens: int) -> list[list[int]]:
    """Return the indices of groups in batches filled to the budget, the longest first.

    Group n has `rows[n]` rows of `lengths[n]` tokens.
    """
    batches: list[list[int]] = []
    longest, count = 0, 0
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        # From long to short, so the first group of a batch sets its padded width.
        is_similar = lengths[number] >= LEAST_FILLED * longest
        if batches and is_similar and longest * (count + rows[number]) <= tokens:
            batches[-1].append(number)
            count += rows[number]
        else:
            batches.append([number])
            longest, count = lengths[number], rows[number]
    return batches


def length_batches(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Return indices from long to short, in batches of at most `tokens`, padding included."""
    batches: list[list[int]] = []
    room = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if room == 0:
            room = max(1, tokens // lengths[index])
            batches.append([])
        batches[-1].append(index)
        room -= 1
    return batches


def group_by_prompt(sequences: Sequence[TokenSequence]) -> list[list[int]]:
    """Return the indices of the sequences of each prompt, prompts in order of appearance."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, sequence in enumerate(sequences):
        groups.setdefault(sequence.prompt_ids, []).append(index)
    return list(groups.values())


def pad(rows: Sequence[Sequence[float]], value: float, left: bool = False) -> Tensor:
    """Return rows of different lengths as one tensor.

    Args:
        rows: At least one row.
        value: Fills the shorter rows.
        left: True to pad on the left, False on the right.

    Returns:
        (B, longest), on the CPU.
    """
    width = max(len(row) for row in rows)
    filled = [
        [value] * (width - len(row)) + list(row) if left else [*row, *[value] * (width - len(row))]
        for row in rows
    ]
    return torch.tensor(filled)


@dataclass(frozen=True)
class _Row:
    ids: list[int]
    positions: list[int]
    branches: list[int]
    starts: list[tuple[int, int]]
    """Index and first column of each response in the row."""


def _row(sequences: Sequence[TokenSequence], group: Sequence[int]) -> _Row:
    prompt = sequences[group[0]].prompt_ids
    row = _Row(list(prompt), list(range(len(prompt))), [PROMPT_BRANCH] * len(prompt), [])
    for branch, index in enumerate(group, start=1):
        response = sequences[index].response_ids
        row.starts.append((index, len(row.ids)))
        row.ids.extend(response)
        row.positions.extend(range(len(prompt), len(prompt) + len(response)))
        row.branches.extend([branch] * len(response))
    return row


def _visible(branches: Tensor) -> Tensor:
    """Return where each token may look: earlier tokens of its own branch, and the prompt.

    Padding looks at everything before it: softmax over nothing would be NaN.
    """
    query, key = branches[:, :, None], branches[:, None, :]
    length = branches.shape[1]
    is_before = torch.ones(length, length, dtype=torch.bool, device=branches.device).tril()
    is_related = (key == PROMPT_BRANCH) | (key == query) | (query == PADDING_BRANCH)
    return (is_before & is_related)[:, None]
