"""Keys and values of a batch while answers grow: written in place, with rows added and dropped.

transformers' own cache copies everything for every token. Here every row ends at the same column,
so a new token is one write. A row that is added later is right-aligned, and a mask hides the
columns to its left.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from rlhf_core.errors import ModelNotFoundError

GROWTH = 64
"""Number of columns added when there is no room for the next token."""


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer, (B, key heads, columns, D), with room to the right.

    A layer with a sliding window is cached in full too: transformers' mask hides what is outside.
    """

    def __init__(self) -> None:
        super().__init__()
        self.room: tuple[Tensor, Tensor] | None = None
        self.columns = 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write new columns and return all columns so far.

        Args:
            key_states: Keys of the new tokens, (B, key heads, new columns, D).
            value_states: Values of the new tokens, (B, key heads, new columns, W).
            args: Not used.
            kwargs: Not used.

        Returns:
            Keys and values of all columns.
        """
        if self.room is None:
            return self.replace(key_states, value_states, key_states.shape[2])
        keys, values = self.room
        start, end = self.columns, self.columns + key_states.shape[2]
        if end > keys.shape[2]:
            keys, values = _widen(keys, end), _widen(values, end)
        keys[:, :, start:end], values[:, :, start:end] = key_states, value_states
        return self.replace(keys, values, end)

    def replace(self, keys: Tensor, values: Tensor, columns: int) -> tuple[Tensor, Tensor]:
        """Replace the cache with `keys` and `values`, of which the first `columns` are filled.

        Args:
            keys: (B, key heads, at least `columns`, D).
            values: (B, key heads, at least `columns`, W).
            columns: Number of filled columns.

        Returns:
            The filled columns of both.
        """
        if self.room is None:
            self.lazy_initialization(keys, values)
        self.room, self.columns = (keys, values), columns
        self.keys, self.values = keys[:, :, :columns], values[:, :, :columns]
        return self.keys, self.values


class GrowingCache(Cache):
    """The cache that transformers writes to and reads from, one layer of it for each of a model."""

    def __init__(self, growing: Sequence[GrowingLayer]) -> None:
        super().__init__(layers=list(growing))
        self.growing = list(growing)


@dataclass(frozen=True)
class CacheRows:
    """Some rows of a cache, none of them longer than `columns`."""

    cache: GrowingCache
    rows: Tensor
    columns: int

    def take(self, number: int) -> tuple[Tensor, Tensor]:
        """Remove a layer's keys and values from the cache; return them as wide as these rows."""
        layer = self.cache.growing[number]
        if layer.room is None:
            raise RuntimeError(f"layer {number} of the model wrote no keys and values")
        keys, values = layer.room
        layer.room = layer.keys = layer.values = None
        window = slice(layer.columns - self.columns, layer.columns)
        return keys[:, :, window], values[:, :, window]


def new_cache(model: PreTrainedModel) -> GrowingCache:
    """Return an empty cache for a model.

    Raises:
        ModelNotFoundError: If a layer of the model caches anything but keys and values.
    """
    layers = DynamicCache(config=model.config).layers
    unusual = {type(layer) for layer in layers} - {DynamicLayer, DynamicSlidingWindowLayer}
    if unusual or not layers:
        raise ModelNotFoundError(
            f"architecture {model.config.model_type!r} caches more of a text than keys and "
            "values, which Solon cannot sample from yet; choose another model"
        )
    return GrowingCache([GrowingLayer() for _ in layers])


def join_rows(parts: Sequence[CacheRows]) -> GrowingCache:
    """Return one cache of the rows of several caches, right-aligned. It empties those caches."""
    columns = max(part.columns for part in parts)
    cache = GrowingCache([GrowingLayer() for _ in parts[0].cache.growing])
    for number, layer in enumerate(cache.growing):
        taken = [(part.rows, *part.take(number)) for part in parts]
        keys = _join([(rows, keys) for rows, keys, _ in taken], columns)
        values = _join([(rows, values) for rows, _, values in taken], columns)
        layer.replace(keys, values, columns)
    return cache


def _join(parts: Sequence[tuple[Tensor, Tensor]], columns: int) -> Tensor:
    """Return the rows right-aligned, with zeros to the left: masked, but a NaN would spread."""
    first = parts[0][1]
    count = sum(len(rows) for rows, _ in parts)
    whole = first.new_zeros(count, first.shape[1], columns + GROWTH, first.shape[3])
    start = 0
    for rows, source in parts:
        end = start + len(rows)
        whole[start:end, :, columns - source.shape[2] : columns] = source[rows]
        start = end
    return whole


def _widen(states: Tensor, columns: int) -> Tensor:
    wide = states.new_empty(*states.shape[:2], columns + GROWTH, states.shape[3])
    wide[:, :, : states.shape[2]] = states
    return wide
