"""Which weights of a training are kept: those whose answers a reward likes best."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rlhf_core.algorithms.rewards import Reward, whole
from rlhf_core.algorithms.rollouts import finished_scores, roll_out
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
    missing_eos_score: float | None = -1.0
    """An answer that did not end scores at most this; None leaves its reward."""

    def is_due(self, step: int, steps: int, steps_per_epoch: int) -> bool:
        """Whether there is one after that step: after every so many epochs, and at the end."""
        return step == steps or step % (self.every_epochs * steps_per_epoch) == 0

    def score(self, trunk: Trunk, role: Role, seed: int) -> Tensor:
        """Return the score of the role's answer to each prompt, (P,), not-a-number without one.

        Args:
            trunk: Holds the role.
            role: Whose weights are tried.
            seed: Of the answers.

        Raises:
            TrainingError: If the scores have no finite mean, so nothing could be chosen by them.
        """
        places = range(len(self.prompts))
        seeds = [[seed_from(seed, "trial", place)] for place in places]
        rollouts = roll_out(trunk, self.prompts, places, seeds, self.sampling, role)
        total = whole(self.reward(rollouts)).total
        mean = total.nanmean().item()
        if not math.isfinite(mean):
            raise TrainingError(f"the reward of the answers that are to choose is {mean}")
        return finished_scores(total, rollouts, self.missing_eos_score)


class BestWeights:
    """The values of some parameters when they scored best; their first ones until any scored.

    Args:
        parameters: What is trained.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.values = [parameter.detach().clone() for parameter in self.parameters]
        self.scores = torch.tensor([])
        """Of the remembered parameters by prompt, (P,); empty until any were offered."""

    @torch.no_grad()
    def offer(self, scores: Tensor) -> bool:
        """Remember the parameters as they are if they score above the remembered ones.

        The two are compared on the prompts that both have a score for: else an answer that cannot
        be scored would count as much as the mean of the others. A tie changes nothing.

        Args:
            scores: By prompt, higher is better, not-a-number where there is none, (P,).

        Returns:
            Whether they are remembered.
        """
        if len(self.scores):
            is_known = ~(scores.isnan() | self.scores.isnan())
            gains = scores[is_known].double() - self.scores[is_known].double()
            if gains.sum() <= 0:
                return False
        self.scores = scores.clone()
        for value, parameter in zip(self.values, self.parameters, strict=True):
            value.copy_(parameter)
        return True

    @torch.no_grad()
    def take_over(self) -> None:
        """Give the parameters what is remembered."""
        for value, parameter in zip(self.values, self.parameters, strict=True):
            parameter.copy_(value)

    def state(self) -> dict[str, Tensor]:
        values = {str(number): value for number, value in enumerate(self.values)}
        return {"scores": self.scores, **values}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self.scores = state["scores"]
        for number, value in enumerate(self.values):
            value.copy_(state[str(number)])
