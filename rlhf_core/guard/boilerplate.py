"""The detector of boilerplate, which is the same words in answers to many prompts.

Its value is the largest share of answers that hold one n-gram, less the share of baseline answers
that hold it. An n-gram of the prompt does not count in its answers. This catches a magic phrase, a
favoured topic, a fixed opening or closing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from rlhf_core.guard.answers import GuardedAnswer, words_and_marks

LONGEST = 4
"""Words of the longest n-gram."""
CELLS = 4_000_000
"""Cells of one block of a simulation; bounds its memory."""

Gram = tuple[str, ...]


@dataclass(frozen=True)
class Boilerplate:
    """The n-gram that answers hold most beyond the baseline."""

    gram: Gram
    share: float
    """Share of the answers that hold it."""
    excess: float
    """The detector's value, which is that share less the share of baseline answers."""


def grams(answer: GuardedAnswer) -> frozenset[Gram]:
    """Return the n-grams of an answer, of one to four words or marks, without its prompt's."""
    return _grams(answer.text) - _grams(answer.prompt)


def gram_shares(held: Sequence[frozenset[Gram]]) -> dict[Gram, float]:
    """Return the share of answers that hold each n-gram, from the n-grams of each answer."""
    counts = Counter(gram for each in held for gram in each)
    return {gram: count / len(held) for gram, count in counts.items()}


def boilerplate(held: Sequence[frozenset[Gram]], baseline: Mapping[Gram, float]) -> Boilerplate:
    """Return the n-gram with the greatest excess over the baseline; the longest of equal ones.

    Args:
        held: N-grams of each answer of the policy.
        baseline: Share of baseline answers that hold each n-gram.
    """
    shares = gram_shares(held)
    if not shares:
        return Boilerplate((), 0.0, 0.0)
    best = max(shares, key=lambda gram: (shares[gram] - baseline.get(gram, 0.0), len(gram), gram))
    return Boilerplate(best, shares[best], shares[best] - baseline.get(best, 0.0))


def incidence(answers: Sequence[GuardedAnswer]) -> csr_array:
    """Return which answers hold which n-grams, as 0 and 1, (A + 1, G), in columns without repeats.

    N-grams that the same answers hold share a column: they have the same share in any resample.
    The last row is an answer that no baseline answer resembles, with an n-gram of its own.
    """
    holders: dict[Gram, list[int]] = {}
    for row, answer in enumerate(answers):
        for gram in grams(answer):
            holders.setdefault(gram, []).append(row)
    columns = sorted({*map(tuple, holders.values()), (len(answers),)})
    rows = [row for column in columns for row in column]
    starts = np.cumsum([0, *map(len, columns)])
    ones = np.ones(len(rows), dtype=np.float32)
    return csr_array(csc_array((ones, rows, starts), shape=(len(answers) + 1, len(columns))))


def simulated_excess(
    holds: csr_array, windows: NDArray[np.int64], baselines: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the detector's value on resampled windows against resampled baselines, (R, L).

    Args:
        holds: Which baseline answers hold which n-grams, (A + 1, G).
        windows: Answers of each of L windows in each of R simulated trainings, (R, L, N).
        baselines: Answers of the baseline of each simulated training, (R, M).
    """
    replicates, looks, _ = windows.shape
    values = np.zeros((replicates, looks))
    block = max(1, CELLS // (holds.shape[1] * (looks + 1)))
    for start in range(0, replicates, block):
        part = slice(start, start + block)
        own = _shares(holds, windows[part].reshape(-1, windows.shape[2]))
        others = _shares(holds, baselines[part])
        excess = own.reshape(-1, looks, holds.shape[1]) - others[:, None, :]
        values[part] = excess.max(axis=2)
    return values


def _shares(holds: csr_array, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the share of the chosen answers that hold each n-gram, (rows of `chosen`, G)."""
    rows, size = chosen.shape
    weights = csr_array(
        (
            np.full(chosen.size, 1 / size, dtype=np.float32),
            chosen.ravel(),
            np.arange(0, chosen.size + 1, size),
        ),
        shape=(rows, holds.shape[0]),
    )
    return np.asarray((weights @ holds).todense())


def _grams(text: str) -> frozenset[Gram]:
    return frozenset(_runs(words_and_marks(text)))


def _runs(tokens: Sequence[str]) -> Iterable[Gram]:
    for size in range(1, LONGEST + 1):
        for start in range(len(tokens) - size + 1):
            yield tuple(tokens[start : start + size])
