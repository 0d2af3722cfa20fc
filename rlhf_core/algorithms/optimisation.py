"""Parts that all training loops share: the order of the data, the optimizer, a step's metrics."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from rlhf_core.distributed.gradients import all_reduce_gradients, clip_gradients
from rlhf_core.errors import TrainingError

LEARNING_RATE_FLOOR = 0.1


@dataclass(frozen=True)
class TrainingStep:
    """One optimizer step or rollout phase: its number from 1, the number of steps, and metrics.

    Raises:
        TrainingError: If a metric is not finite.
    """

    step: int
    steps: int
    metrics: Mapping[str, float]

    def __post_init__(self) -> None:
        broken = [name for name, value in self.metrics.items() if not math.isfinite(value)]
        if broken:
            raise TrainingError(
                f"step {self.step}: {', '.join(broken)} not finite; lower the learning rate"
            )


class MetricSums:
    """Sums of a step's metrics over its micro-batches, read from the device once.

    Each number that is read by itself would make the host wait for the device.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._parts: list[Tensor] = []

    def add(self, **parts: Tensor) -> None:
        """Add the parts of one micro-batch: scalars on the device, the same names each time."""
        self._names = list(parts)
        self._parts.append(torch.stack([part.detach().float() for part in parts.values()]))

    def read(self) -> dict[str, float]:
        """Return the sums by name; nothing if there was no micro-batch."""
        rows = torch.stack(self._parts).tolist() if self._parts else []
        return {name: sum(row[at] for row in rows) for at, name in enumerate(self._names)}


class Updater:
    """AdamW without weight decay, gradient clipping, and a learning rate schedule.

    The learning rate rises from a tenth of the peak during the warm-up, and falls to a tenth again
    by a cosine.

    Args:
        parameters: Parameters in fp32, clipped by their joint norm.
        learning_rate: Peak learning rate.
        steps: Total number of optimizer steps.
        max_grad_norm: Largest norm; larger gradients are scaled down to it.
        eps: Adam's ε; 1e-5 for PPO (arXiv:2005.12729).
        warm_up: Number of steps before the peak.
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
        # Sharded ones first: AdamW takes them apart from the others, and its state has their order.
        self.parameters = sorted(parameters, key=_is_replicated)
        self.max_grad_norm = max_grad_norm
        self.taken = 0
        """Number of optimizer steps so far."""
        self.steps = steps
        """Total number of optimizer steps, after which the learning rate is at its floor."""
        self._peak = learning_rate
        self._warm_up = warm_up
        self._aside: list[Tensor] = []
        groups = [list(same) for _, same in groupby(self.parameters, key=_is_replicated)]
        self._optimizer = torch.optim.AdamW(
            [{"params": group} for group in groups],
            lr=learning_rate,
            eps=eps,
            weight_decay=0.0,
            fused=True,
        )

    def step(self) -> tuple[float, float]:
        """Clip the gradients, add those set aside, apply the sum and clear it.

        Returns:
            The norm of the gradients before clipping, without those set aside, and the learning
            rate.
        """
        norm = self._clip()
        for parameter, other in zip(self.parameters, self._aside, strict=False):
            parameter.grad = other if parameter.grad is None else parameter.grad.add_(other)
        self._aside = []
        learning_rate = self._peak * share_of_peak(self.taken, self.steps, self._warm_up)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.step()
        self.taken += 1
        self.clear_gradients()
        return norm, learning_rate

    def set_aside(self) -> float:
        """Clip the gradients, keep them for the next step, and return their norm before that."""
        norm = self._clip()
        self._aside = [
            torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            for parameter in self.parameters
        ]
        self.clear_gradients()
        return norm

    def clear_gradients(self) -> None:
        """Clear the gradients without applying them, except those set aside."""
        self._optimizer.zero_grad(set_to_none=True)

    def _clip(self) -> float:
        all_reduce_gradients(self.parameters)
        return clip_gradients(self.parameters, self.max_grad_norm)

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on: parameters, moments, steps taken."""
        moments = self._optimizer.state_dict()["state"]
        return {
            "taken": torch.tensor(self.taken),
            **{f"parameter.{n}": value.detach() for n, value in enumerate(self.parameters)},
            **{f"{name}.{n}": value for n, kept in moments.items() for name, value in kept.items()},
        }

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load a state of the same parameters."""
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
    """The bias-corrected exponential moving average of some parameters over optimizer steps.

    Σ dⁿ⁻ⁱ·wᵢ / Σ dⁿ⁻ⁱ over the values w₁ … wₙ after each step. Without the correction, an average
    that starts at the initial values would keep 82 % of them after 24 steps with d = 0.992.

    Args:
        parameters: Parameters to average.
        decay: d, the weight of a step relative to the next (arXiv:2203.02155, appendix C.4; the
            bias correction is that of arXiv:1412.6980, section 3).
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self.parameters = list(parameters)
        self.decay = decay
        self.averages = [parameter.detach().clone() for parameter in self.parameters]
        self.updates = 0

    def state(self) -> dict[str, Tensor]:
        averages = {str(number): average for number, average in enumerate(self.averages)}
        return {"updates": torch.tensor(self.updates), **averages}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self.updates = int(state["updates"])
        for number, average in enumerate(self.averages):
            average.copy_(state[str(number)])

    @torch.no_grad()
    def update(self) -> None:
        """Add the current values of the parameters to the average."""
        self.updates += 1
        share = (1 - self.decay) / (1 - self.decay**self.updates)
        for average, parameter in zip(self.averages, self.parameters, strict=True):
            average.lerp_(parameter, share)

    @torch.no_grad()
    def copy_to_parameters(self) -> None:
        """Set the parameters to their averages."""
        for average, parameter in zip(self.averages, self.parameters, strict=True):
            parameter.copy_(average)


def share_of_peak(step: int, steps: int, warm_up: int) -> float:
    """Return the learning rate as a share of its peak: a linear warm-up, then a cosine decay.

    Args:
        step: Index of the step, from 0.
        steps: Total number of steps.
        warm_up: Number of steps before the peak.

    Returns:
        0.1 to 1: from a tenth up to 1 and down to a tenth again (the cosine is arXiv:1608.03983,
        eq. 5, without restarts).
    """
    if step < warm_up:
        return LEARNING_RATE_FLOOR + (1 - LEARNING_RATE_FLOOR) * step / warm_up
    return cosine_to_floor(step - warm_up, steps - warm_up)


def cosine_to_floor(step: int, steps: int) -> float:
    """Return the learning rate at `step`, from 0, as a share of its peak: 1 down to a tenth."""
    progress = min(step / max(steps - 1, 1), 1.0)
    return LEARNING_RATE_FLOOR + (1 - LEARNING_RATE_FLOOR) * (1 + math.cos(math.pi * progress)) / 2


def step_count(size: int, per_step: int, epochs: int) -> int:
    """Return the number of optimizer steps of a training.

    Args:
        size: Number of examples.
        per_step: Examples a step.
        epochs: Passes over the examples; the last step of each may be smaller.

    Returns:
        The number of steps.
    """
    return epochs * math.ceil(size / per_step)


def ordered_steps(size: int, per_step: int) -> Iterator[list[int]]:
    """Yield the indices of the examples of each step, in order; the last step may be smaller."""
    for start in range(0, size, per_step):
        yield list(range(start, min(start + per_step, size)))


def shuffled_steps(size: int, per_step: int, epochs: int, seed: int) -> Iterator[list[int]]:
    """Yield the indices of the examples of each step, in a new order every epoch.

    Args:
        size: Number of examples.
        per_step: Examples a step.
        epochs: Passes over the examples; the last step of each may be smaller.
        seed: Seed of all orders.

    Yields:
        The indices of one step.
    """
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        order = torch.randperm(size, generator=generator).tolist()
        for start in range(0, size, per_step):
            yield order[start : start + per_step]


def endless_steps(size: int, per_step: int, seed: int) -> Iterator[list[int]]:
    """Yield the indices of the examples of each step, without end.

    Args:
        size: Number of examples.
        per_step: Examples a step; it may exceed `size`.
        seed: Seed of all orders.

    Yields:
        The indices of one step; every index is used once before any is used again.
    """
    generator = torch.Generator().manual_seed(seed)
    waiting: list[int] = []
    while True:
        while len(waiting) < per_step:
            waiting += torch.randperm(size, generator=generator).tolist()
        yield waiting[:per_step]
        waiting = waiting[per_step:]


def _is_replicated(parameter: nn.Parameter) -> bool:
    return not isinstance(parameter, DTensor)


def mean_of(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)
