"""What every training loop shares: the order of the data, the optimizer, and a step's report."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from rlhf_core.errors import TrainingError

LEARNING_RATE_FLOOR = 0.1


@dataclass(frozen=True)
class TrainingStep:
    """One optimizer step or rollout: its number from 1, of how many, and its metrics."""

    step: int
    steps: int
    metrics: Mapping[str, float]

    def __post_init__(self) -> None:
        broken = [name for name, value in self.metrics.items() if not math.isfinite(value)]
        if broken:
            raise TrainingError(
                f"step {self.step}: {', '.join(broken)} not finite; lower the learning rate"
            )


class Updater:
    """AdamW on some parameters, gradient clipping, and a cosine from the peak to a tenth of it.

    Args:
        parameters: fp32, trained together.
        learning_rate: Peak.
        steps: Optimizer steps in all.
        max_grad_norm: Gradients are scaled down to this norm.
        eps: Adam's; 1e-5 for PPO (arXiv:2005.12729).
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float,
        steps: int,
        max_grad_norm: float = 1.0,
        eps: float = 1e-8,
    ) -> None:
        self.parameters = list(parameters)
        self.max_grad_norm = max_grad_norm
        self._optimizer = torch.optim.AdamW(
            self.parameters, lr=learning_rate, eps=eps, weight_decay=0.0
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: cosine_to_floor(step, steps)
        )

    def step(self) -> tuple[float, float]:
        """Apply and clear the gradients; their norm before clipping, and the learning rate."""
        norm = nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm)
        learning_rate = float(self._schedule.get_last_lr()[0])
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad(set_to_none=True)
        return float(norm), learning_rate


def cosine_to_floor(step: int, steps: int) -> float:
    """Share of the peak learning rate at `step`, from 1 down to a tenth."""
    progress = min(step / max(steps - 1, 1), 1.0)
    return LEARNING_RATE_FLOOR + (1 - LEARNING_RATE_FLOOR) * (1 + math.cos(math.pi * progress)) / 2


def step_count(size: int, per_step: int, epochs: int) -> int:
    return epochs * math.ceil(size / per_step)


def shuffled_steps(size: int, per_step: int, epochs: int, seed: int) -> Iterator[list[int]]:
    """Indices for each step, in a new order every epoch; an epoch's last step may be smaller."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        order = torch.randperm(size, generator=generator).tolist()
        for start in range(0, size, per_step):
            yield order[start : start + per_step]


def endless_steps(size: int, per_step: int, seed: int) -> Iterator[list[int]]:
    """Indices for each step without end, every index once before any comes again."""
    generator = torch.Generator().manual_seed(seed)
    waiting: list[int] = []
    while True:
        while len(waiting) < per_step:
            waiting += torch.randperm(size, generator=generator).tolist()
        yield waiting[:per_step]
        waiting = waiting[per_step:]


def mean_of(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)
