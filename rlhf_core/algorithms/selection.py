"""Which weights of a training are kept: those whose answers a reward likes best."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rlhf_core.algorithms.rewards import Reward, whole
from rlhf_core.algorithms.rollouts import roll_out
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.errors import TrainingError
from rlhf_core.identity import seed_from
from rlhf_core.models.trunk import Role, Trunk


@dataclass(frozen=True)
class Trial:
    """How weights are tried: an answer to each of some prompts, the same draws every time.

    So two scores differ by the weights alone.
    """

    prompts: Sequence[Sequence[int]]
    """Tokens of each prompt; none of them is trained on."""
    reward: Reward
    sampling: SamplingSettings
    every_epochs: int = 1

    def is_due(self, step: int, steps: int, steps_per_epoch: int) -> bool:
        """Whether there is one after that step: after every so many epochs, and at the end."""
        return step == steps or step % (self.every_epochs * steps_per_epoch) == 0

    def score(self, trunk: Trunk, role: Role, seed: int) -> float:
        """The mean reward of the role's answers.

        Raises:
            TrainingError: If it is not finite, so nothing could be chosen by it.
        """
        places = range(len(self.prompts))
        seeds = [[seed_from(seed, "trial", place)] for place in places]
        rollouts = roll_out(trunk, self.prompts, places, seeds, self.sampling, role)
        found = whole(self.reward(rollouts)).total.mean().item()
        if not math.isfinite(found):
            raise TrainingError(f"the reward of the answers that are to choose is {found}")
        return found


class BestWeights:
    """The values of some parameters when they scored best; their first ones until any scored.

    Args:
        parameters: What is trained.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.values = [parameter.detach().clone() for parameter in self.parameters]
        self.score = -math.inf

    @torch.no_grad()
    def offer(self, score: float) -> None:
        """Remember the parameters as they are if they score above all before: a tie changes none.

        Args:
            score: Higher is better.
        """
        if score > self.score:
            self.score = score
            for value, parameter in zip(self.values, self.parameters, strict=True):
                value.copy_(parameter)

    @torch.no_grad()
    def take_over(self) -> None:
        """Give the parameters what is remembered."""
        for value, parameter in zip(self.values, self.parameters, strict=True):
            parameter.copy_(value)

    def state(self) -> dict[str, Tensor]:
        values = {str(number): value for number, value in enumerate(self.values)}
        return {"score": torch.tensor(self.score, dtype=torch.float64), **values}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self.score = state["score"].item()
        for number, value in enumerate(self.values):
            value.copy_(state[str(number)])
