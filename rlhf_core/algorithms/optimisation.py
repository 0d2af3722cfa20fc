"""What every training loop shares: the order of the data, the optimizer, and a step's report."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rlhf_core.errors import TrainingError
from rlhf_core.models.ranks import sum_gradients

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
    """AdamW on some parameters, gradient clipping, and a learning rate that rises and falls.

    It rises from a tenth of the peak over the warm-up, and falls to a tenth again by a cosine.

    Args:
        parameters: fp32, trained together.
        learning_rate: Peak.
        steps: Optimizer steps in all.
        max_grad_norm: Gradients are scaled down to this norm.
        eps: Adam's; 1e-5 for PPO (arXiv:2005.12729).
        warm_up: Of the steps, those before the peak.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float,
        steps: int,
        max_grad_norm: float = 1.0,
        eps: float = 1e-8,
        warm_up: int = 0,
    ) -> None:
        self.parameters = list(parameters)
        self.max_grad_norm = max_grad_norm
        self.taken = 0
        """Optimizer steps so far."""
        self._peak = learning_rate
        self._steps = steps
        self._warm_up = warm_up
        self._optimizer = torch.optim.AdamW(
            self.parameters, lr=learning_rate, eps=eps, weight_decay=0.0, fused=True
        )

    def step(self) -> tuple[float, float]:
        """Apply and clear the gradients; their norm before clipping, and the learning rate."""
        sum_gradients(self.parameters)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm)
        learning_rate = self._peak * share_of_peak(self.taken, self._steps, self._warm_up)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.step()
        self.taken += 1
        self.discard()
        return float(norm), learning_rate

    def discard(self) -> None:
        """Clear the gradients without applying them."""
        self._optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on: parameters, moments, and the steps taken."""
        moments = self._optimizer.state_dict()["state"]
        return {
            "taken": torch.tensor(self.taken),
            **{f"parameter.{n}": value.detach() for n, value in enumerate(self.parameters)},
            **{f"{name}.{n}": value for n, kept in moments.items() for name, value in kept.items()},
        }

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state of the same parameters."""
        self.taken = int(state["taken"])
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            name, _, number = key.rpartition(".")
            if name == "parameter":
                self.parameters[int(number)].copy_(value)
            elif name:
                moments.setdefault(int(number), {})[name] = value
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})


class MovingAverage:
    """The exponential moving average of some parameters over optimizer steps.

    Args:
        parameters: What is averaged, from their values now on.
        decay: Share of the old average that each step keeps (arXiv:2203.02155, appendix C.4).
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self.parameters = list(parameters)
        self.decay = decay
        self.averages = [parameter.detach().clone() for parameter in self.parameters]

    def state(self) -> dict[str, Tensor]:
        return {str(number): average for number, average in enumerate(self.averages)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        for number, value in state.items():
            self.averages[int(number)].copy_(value)

    @torch.no_grad()
    def update(self) -> None:
        for average, parameter in zip(self.averages, self.parameters, strict=True):
            average.lerp_(parameter, 1 - self.decay)

    @torch.no_grad()
    def take_over(self) -> None:
        """Give the parameters their averages as values."""
        for average, parameter in zip(self.averages, self.parameters, strict=True):
            parameter.copy_(average)


def share_of_peak(step: int, steps: int, warm_up: int) -> float:
    """Share of the peak learning rate: a line from a tenth up to 1, then a cosine down again.

    Args:
        step: From 0.
        steps: In all.
        warm_up: Before the peak.
    """
    if step < warm_up:
        return LEARNING_RATE_FLOOR + (1 - LEARNING_RATE_FLOOR) * step / warm_up
    return cosine_to_floor(step - warm_up, steps - warm_up)


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
