"""Keys and values of a batch while answers grow: written in place, and rows come and go.

transformers' own cache copies all of it for every token. Here every row ends at the same column, so
a new token is one write, and a row that joins late stands to the left of it, behind a mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from rlhf_core.errors import ModelNotFoundError

GROWTH = 64
"""Columns added when there is no room for the next token."""


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer, (B, key heads, columns, D), with room to the right.

    A sliding window too is kept in full here: transformers' mask hides what has left it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.room: tuple[Tensor, Tensor] | None = None
        self.columns = 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write the new columns, and return all so far."""
        if self.room is None:
            return self.hold(key_states, value_states, key_states.shape[2])
        keys, values = self.room
        start, end = self.columns, self.columns + key_states.shape[2]
        if end > keys.shape[2]:
            keys, values = _widened(keys, end), _widened(values, end)
        keys[:, :, start:end], values[:, :, start:end] = key_states, value_states
        return self.hold(keys, values, end)

    def hold(self, keys: Tensor, values: Tensor, columns: int) -> tuple[Tensor, Tensor]:
        """Have these from now on, of which so many columns are written."""
        if self.room is None:
            self.lazy_initialization(keys, values)
        self.room, self.columns = (keys, values), columns
        self.keys, self.values = keys[:, :, :columns], values[:, :, :columns]
        return self.keys, self.values


class GrowingCache(Cache):
    """What transformers writes to and reads from."""

    def __init__(self, growing: Sequence[GrowingLayer]) -> None:
        super().__init__(layers=list(growing))
        self.growing = list(growing)


@dataclass(frozen=True)
class Rows:
    """Some rows of a cache, none of which is longer than `columns`."""

    cache: GrowingCache
    rows: Tensor
    columns: int

    def take(self, number: int) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer, as wide as these rows; the cache has them no more."""
        layer = self.cache.growing[number]
        if layer.room is None:
            raise RuntimeError(f"layer {number} of the model wrote no keys and values")
        keys, values = layer.room
        layer.room = layer.keys = layer.values = None
        window = slice(layer.columns - self.columns, layer.columns)
        return keys[:, :, window], values[:, :, window]


def new_cache(model: PreTrainedModel) -> GrowingCache:
    """An empty cache for that model.

    Raises:
        ModelNotFoundError: If a layer of the model remembers anything but keys and values.
    """
    layers = DynamicCache(config=model.config).layers
    unusual = {type(layer) for layer in layers} - {DynamicLayer, DynamicSlidingWindowLayer}
    if unusual or not layers:
        raise ModelNotFoundError(
            f"architecture {model.config.model_type!r} remembers more of a text than keys and "
            "values, which Solon does not sample from yet; choose another model"
        )
    return GrowingCache([GrowingLayer() for _ in layers])


def joined(parts: Sequence[Rows]) -> GrowingCache:
    """One cache of rows of several, right-aligned. The caches are used up by it, layer by layer."""
    columns = max(part.columns for part in parts)
    cache = GrowingCache([GrowingLayer() for _ in parts[0].cache.growing])
    for number, layer in enumerate(cache.growing):
        taken = [(part.rows, *part.take(number)) for part in parts]
        keys = _joined([(rows, of_part) for rows, of_part, _ in taken], columns)
        values = _joined([(rows, of_part) for rows, _, of_part in taken], columns)
        layer.hold(keys, values, columns)
    return cache


def _joined(parts: Sequence[tuple[Tensor, Tensor]], columns: int) -> Tensor:
    """Zeros where a row is shorter: masked, but a not-a-number there would still spread."""
    first = parts[0][1]
    count = sum(len(rows) for rows, _ in parts)
    whole = first.new_zeros(count, first.shape[1], columns + GROWTH, first.shape[3])
    start = 0
    for rows, source in parts:
        end = start + len(rows)
        whole[start:end, :, columns - source.shape[2] : columns] = source[rows]
        start = end
    return whole


def _widened(states: Tensor, columns: int) -> Tensor:
    wide = states.new_empty(*states.shape[:2], columns + GROWTH, states.shape[3])
    wide[:, :, : states.shape[2]] = states
    return wide
