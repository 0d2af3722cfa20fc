"""What every training loop shares: the order of the data, the optimizer, and a step's report."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rlhf_core.distributed.ranks import all_reduce_gradients
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
        self.steps = steps
        """Optimizer steps in all: where the learning rate has fallen to its floor."""
        self._peak = learning_rate
        self._warm_up = warm_up
        self._aside: list[Tensor] = []
        self._optimizer = torch.optim.AdamW(
            self.parameters, lr=learning_rate, eps=eps, weight_decay=0.0, fused=True
        )

    def step(self) -> tuple[float, float]:
        """Clip, apply and clear the gradients, with those set aside, if any.

        Returns:
            The norm of the gradients before clipping, those set aside left out, and the learning
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
        self.discard()
        return norm, learning_rate

    def set_aside(self) -> float:
        """Clip the gradients by themselves and keep them for the next step; their norm before."""
        norm = self._clip()
        self._aside = [
            torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            for parameter in self.parameters
        ]
        self.discard()
        return norm

    def discard(self) -> None:
        """Clear the gradients without applying them; those set aside stay."""
        self._optimizer.zero_grad(set_to_none=True)

    def _clip(self) -> float:
        all_reduce_gradients(self.parameters)
        return float(nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm))

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
    """The exponential moving average of some parameters over optimizer steps, without its bias.

    Of the values w₁ … wₙ after each step it is Σ dⁿ⁻ⁱ·wᵢ / Σ dⁿ⁻ⁱ. Begun at the first values
    instead, a training of 24 steps with d = 0.992 would leave 82 % of them in the average.

    Args:
        parameters: What is averaged.
        decay: d, how much less each step counts than the next (arXiv:2203.02155, appendix C.4;
            the correction is that of arXiv:1412.6980, section 3).
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
        self.updates += 1
        share = (1 - self.decay) / (1 - self.decay**self.updates)
        for average, parameter in zip(self.averages, self.parameters, strict=True):
            average.lerp_(parameter, share)

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
