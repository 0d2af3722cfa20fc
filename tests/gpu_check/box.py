"""The machine that is checked, and the sizes of what runs on it."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import LlamaConfig

from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.bundled import TINY
from rlhf_core.models.device import Compute
from rlhf_core.models.trunk import Role, Trunk
from tests.benchmarks.gpu import MODELS, Load

CPU = Compute(torch.device("cpu"), torch.float32, 2048, "what a GPU is compared with")
TINY_MODEL = LlamaConfig(
    vocab_size=259,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=16,
    tie_word_embeddings=True,
)
QWEN_7B = LlamaConfig(
    vocab_size=152_064,
    hidden_size=3584,
    intermediate_size=18_944,
    num_hidden_layers=28,
    num_attention_heads=28,
    num_key_value_heads=4,
    head_dim=128,
    tie_word_embeddings=False,
)


@dataclass(frozen=True)
class Shape:
    """A model of random weights, what is measured on it, and how long that takes on an H200."""

    name: str
    config: LlamaConfig
    load: Load
    seconds: float
    """Of all its figures together."""


@dataclass(frozen=True)
class Box:
    """One device of a machine."""

    device: torch.device
    is_tiny: bool
    """True to run everything small, which shows that the code works, and measures nothing."""

    @property
    def is_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def name(self) -> str:
        return torch.cuda.get_device_name(self.device) if self.is_gpu else "CPU"

    @property
    def best(self) -> torch.dtype:
        """The precision of the speeds."""
        return torch.bfloat16 if self.is_gpu else torch.float32

    def compute(self, dtype: torch.dtype = torch.float32, tokens: int = 2048) -> Compute:
        """Return a compute on this device.

        Args:
            dtype: Precision.
            tokens: Tokens of a micro-batch.
        """
        return replace(CPU, device=self.device, dtype=dtype, tokens_per_microbatch=tokens)

    def trunk(
        self, dtype: torch.dtype = torch.float32, rank: int | None = 4, **changes: Any
    ) -> Trunk:
        """Return the tiny model on this device.

        Args:
            dtype: Precision.
            rank: LoRA rank; None trains all weights.
            changes: Other fields of the compute.
        """
        return open_trunk(TINY, replace(self.compute(dtype), **changes), rank)

    @property
    def shapes(self) -> list[Shape]:
        """The models whose speed is measured, from small to large."""
        if self.is_tiny:
            load = Load(prompts=2, answers=2, prompt_tokens=5, answer_tokens=3)
            return [Shape("tiny", TINY_MODEL, load, 1.0)]
        small, large = Load(64, 4, 512, 128), Load(16, 4, 512, 128)
        names = ("135M", "1B")
        seconds = (45.0, 90.0)
        return [
            *(
                Shape(name, config, small, time)
                for name, config, time in zip(names, MODELS.values(), seconds, strict=True)
            ),
            Shape("7B", QWEN_7B, large, 150.0),
        ]

    @property
    def middle(self) -> Shape:
        """The model that peers and the profile run on: 1B."""
        return self.shapes[min(1, len(self.shapes) - 1)]


def stir(trunk: Trunk, role: Role, seed: int = 7, scale: float = 0.05) -> None:
    """Move a role's weights by the same numbers on every device.

    A new adapter answers as the base does, so half of its gradients would be 0.

    Args:
        trunk: Holds the role.
        role: The role.
        seed: Seed of the numbers.
        scale: Deviation of the numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in trunk.parameters(role):
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise.to(parameter.device), alpha=scale)
