"""Ragged token sequences, and the padded batches a model sees. No model here.

Responses to the same prompt share one row, `[prompt, response 1, …, response n]`: positions start
again after the prompt for each response, and the mask lets it see the prompt and itself only. The
prompt is computed once, and the numbers are those of a row each
(tests/rlhf_core/models/test_sequences.py).

Dimensions: B rows, T tokens of the longest row, N responses, R tokens of the longest response.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

LEAST_FILLED = 0.7
"""A row that would fill less of its padded width than this goes into the next micro-batch."""
PROMPT_BRANCH = 0
PADDING_BRANCH = -1


@dataclass(frozen=True)
class TokenSequence:
    """A prompt and a response to it, as tokens; a response is never decoded and encoded again."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.response_ids)


@dataclass(frozen=True)
class Batch:
    """Rows for the model, and where to read its answers about each response.

    `predictors[n, r]` is the position whose hidden state predicts token r of response n: the one
    before it. Critics are read there too, so a value belongs to the state before its token.
    """

    input_ids: Tensor
    """(B, T), padded on the right."""
    position_ids: Tensor
    """(B, T)"""
    real: Tensor
    """(B, T), true where a token is not padding."""
    visible: Tensor
    """(B, 1, T, T), true where the query of a row may look at the key of a column."""
    response_rows: Tensor
    """Row of each response, (N,)."""
    response_ids: Tensor
    """(N, R)"""
    response_mask: Tensor
    """(N, R), true where a response token is real."""
    predictors: Tensor
    """(N, R), 0 where there is no token."""
    last: Tensor
    """Position of each response's last real token, found by mask, (N,)."""

    def visible_within(self, window: int | None) -> Tensor:
        """Of what is visible, what is fewer than `window` positions back, (B, 1, T, T); None: all.

        Padding stands at position 0, so it still sees everything before it.
        """
        if window is None:
            return self.visible
        distance = self.position_ids[:, :, None] - self.position_ids[:, None, :]
        return self.visible & (distance < window)[:, None]

    def at_predictors(self, states: Tensor) -> Tensor:
        """Of (B, T, H), the states before each response token, (N, R, H)."""
        return states[self.response_rows[:, None], self.predictors]

    def at_last(self, states: Tensor) -> Tensor:
        """Of (B, T, H), the state at the end of each response, (N, H)."""
        return states[self.response_rows, self.last]


def collate(
    sequences: Sequence[TokenSequence],
    pad_id: int,
    device: torch.device | None = None,
    is_shared: bool = True,
) -> Batch:
    """One batch of sequences; responses keep the order they came in.

    Args:
        sequences: At least one.
        pad_id: Fills rows up.
        device: Of the tensors.
        is_shared: A row a distinct prompt; else a row a response.
    """
    groups = by_prompt(sequences) if is_shared else [[i] for i in range(len(sequences))]
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
    return Batch(
        input_ids=pad([row.ids for row in rows], pad_id).to(device),
        position_ids=pad([row.positions for row in rows], 0).to(device),
        real=branches != PADDING_BRANCH,
        visible=_visible(branches),
        response_rows=torch.tensor([row_of[i] for i in range(len(sequences))]).to(device),
        response_ids=pad(responses, pad_id).to(device),
        response_mask=mask.to(device),
        predictors=(predictors * mask).to(device),
        last=(positions * mask).amax(dim=1).to(device),
    )


def microbatches(
    sequences: Sequence[TokenSequence], tokens: int, is_shared: bool = True, shares: int = 1
) -> list[list[int]]:
    """Indices in groups of similar row length that fit a budget of tokens, padding included.

    Responses to the same prompt stay together, in one row if they share it. What is longer than the
    budget stands alone. The groups partition the indices, and are as few as the budget allows, but
    a multiple of the shares that processes take of them, and then as equal as can be: a full batch
    and a remnant take longer than two halves.
    """
    groups = by_prompt(sequences)
    rows = [1 if is_shared else len(group) for group in groups]
    lengths = [
        len(_row(sequences, group).ids) if is_shared else max(len(sequences[i]) for i in group)
        for group in groups
    ]
    most = shares * ceil(len(_filled(lengths, rows, tokens)) / shares)
    fitting = range(1, tokens + 1)
    least = fitting[bisect_left(fitting, -most, key=lambda t: -len(_filled(lengths, rows, t)))]
    return [
        [index for number in batch for index in groups[number]]
        for batch in _filled(lengths, rows, least)
    ]


def _filled(lengths: Sequence[int], rows: Sequence[int], tokens: int) -> list[list[int]]:
    """Numbers of groups of so many rows of that length, batch after batch filled to the budget."""
    batches: list[list[int]] = []
    longest, count = 0, 0
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        # From long to short, so the first of a batch sets its padded width.
        is_similar = lengths[number] >= LEAST_FILLED * longest
        if batches and is_similar and longest * (count + rows[number]) <= tokens:
            batches[-1].append(number)
            count += rows[number]
        else:
            batches.append([number])
            longest, count = lengths[number], rows[number]
    return batches


def length_batches(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Indices from long to short, in batches of at most `tokens`, padding included."""
    batches: list[list[int]] = []
    room = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if room == 0:
            room = max(1, tokens // lengths[index])
            batches.append([])
        batches[-1].append(index)
        room -= 1
    return batches


def by_prompt(sequences: Sequence[TokenSequence]) -> list[list[int]]:
    """Indices of the sequences that share a prompt, prompts in order of appearance."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, sequence in enumerate(sequences):
        groups.setdefault(sequence.prompt_ids, []).append(index)
    return list(groups.values())


def pad(rows: Sequence[Sequence[float]], value: float, left: bool = False) -> Tensor:
    """Rows of different lengths as one tensor, (B, longest), filled up with `value`."""
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
    """For each response in the row, its index and where it begins."""


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
    """What each token may look at: what came before it in its own branch, and the prompt.

    Padding looks at everything before it: a row of nothing visible would be not-a-number.
    """
    query, key = branches[:, :, None], branches[:, None, :]
    length = branches.shape[1]
    is_before = torch.ones(length, length, dtype=torch.bool, device=branches.device).tril()
    is_related = (key == PROMPT_BRANCH) | (key == query) | (query == PADDING_BRANCH)
    return (is_before & is_related)[:, None]
