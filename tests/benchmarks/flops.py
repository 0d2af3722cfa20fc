"""The operations that training must do, and the bytes that sampling must read.

A product with n weights takes 2n operations a token forward: n multiplications, n additions. Back,
it takes 2n for the gradient of its input, and 2n more for that of its weights where they are
trained. So N frozen weights below adapters of A weights take 4N + 6A operations a token, and
training all N takes 6N (arXiv:2001.08361, section 2.1). Attention takes a product with each key
that a query may look at and one with its value, so 4 operations a pair for each of the width of all
heads and each layer forward, and twice that back. The output embedding, V·H frozen weights, meets
response tokens alone, and only where log-probabilities are read.

Left out is what need not be done or hardly weighs: padding, what a mask hides, what is computed
again in the backward pass, norms, activations, scalar heads, the optimizer. Counted though not done
is the gradient of the first layer's input: below a hundredth.

A decode step must read every weight once, and keys and values of all tokens before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from rlhf_core.models.trunk import Role, Trunk

ADAPTER_BYTES = 4
"""Of one weight: adapters stay in fp32."""


@dataclass(frozen=True)
class Row:
    """A prompt with the answers to it, which share the work on it; all in tokens."""

    prompt: int
    answers: tuple[int, ...]

    @property
    def tokens(self) -> int:
        return self.prompt + sum(self.answers)

    @property
    def pairs(self) -> int:
        """Of a query and a key that it may look at, itself among them."""
        own = sum(length * self.prompt + _triangle(length) for length in self.answers)
        return _triangle(self.prompt) + own


@dataclass(frozen=True)
class Size:
    """Of a model and one adapter on it, in weights unless said otherwise."""

    frozen: int
    """Of linear layers, the output embedding aside."""
    trained: int
    output: int
    layers: int
    width: int
    """Of all query heads together."""
    cache: int
    """Numbers that a token leaves in the cache, all layers together."""


def size_of(trunk: Trunk, role: Role) -> Size:
    config = trunk.language_model.config
    linears = trunk.language_model.base_model.named_modules()
    output = trunk.language_model.get_output_embeddings().weight
    trained = [] if role is Role.REFERENCE else trunk.roles.weights(role).values()
    return Size(
        frozen=sum(
            layer.weight.numel()
            for name, layer in linears
            if isinstance(layer, nn.Linear) and "lora_" not in name
        ),
        trained=sum(weight.numel() for weight in trained),
        output=output.numel(),
        layers=config.num_hidden_layers,
        width=config.num_attention_heads * config.head_dim,
        cache=2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim,
    )


def training_flops(size: Size, rows: Sequence[Row], reads_logprobs: bool) -> int:
    """Of one forward and backward pass over the rows."""
    tokens = sum(row.tokens for row in rows)
    read = sum(sum(row.answers) for row in rows) if reads_logprobs else 0
    products = (4 * size.frozen + 6 * size.trained) * tokens + 4 * size.output * read
    return products + 12 * size.layers * size.width * sum(row.pairs for row in rows)


def forward_flops(size: Size, rows: Sequence[Row], reads_logprobs: bool) -> int:
    """Of one forward pass over the rows."""
    tokens = sum(row.tokens for row in rows)
    read = sum(sum(row.answers) for row in rows) if reads_logprobs else 0
    products = 2 * (size.frozen + size.trained) * tokens + 2 * size.output * read
    return products + 4 * size.layers * size.width * sum(row.pairs for row in rows)


def sampling_bytes(size: Size, rows: Sequence[Row], bytes_a_number: int) -> int:
    """To draw all answers of the rows side by side, all of one length.

    Args:
        size: Of the model.
        rows: With at least one answer each.
        bytes_a_number: Of frozen weights and of the cache.
    """
    steps = rows[0].answers[0]
    weights = bytes_a_number * (size.frozen + size.output) + ADAPTER_BYTES * size.trained
    # The first token comes of reading the prompt, before there is a cache; each later one reads
    # the prompt and the tokens before it.
    before = sum(
        len(row.answers) * ((steps - 1) * row.prompt + _triangle(steps - 1)) for row in rows
    )
    return steps * weights + bytes_a_number * size.cache * before


def _triangle(length: int) -> int:
    return length * (length + 1) // 2
