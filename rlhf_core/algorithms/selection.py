"""Selection of the weights of a training whose answers score best by a reward."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rlhf_core.algorithms.rewards import Reward, as_rewards
from rlhf_core.algorithms.rollouts import cap_unfinished_scores, roll_out
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.errors import TrainingError
from rlhf_core.identity import seed_from
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling.sampler import LOCAL, Sampler


@dataclass(frozen=True)
class Trial:
    """A test of weights: an answer to each of some prompts, with the same seeds every time.

    So two scores differ only because of the weights.
    """

    prompts: Sequence[Sequence[int]]
    """Tokens of each prompt; no prompt is trained on."""
    reward: Reward
    sampling: SamplingSettings
    every_epochs: int = 1
    missing_eos_score: float | None = -1.0
    """Highest score of an answer that was cut off; None leaves its reward unchanged."""
    sampler: Sampler = LOCAL
    """Samples the tokens."""

    def is_due(self, step: int, steps: int, steps_per_epoch: int) -> bool:
        """Return True if a trial is due after a step: every `every_epochs` epochs, and at the end.

        Args:
            step: Number of the step, from 1.
            steps: Total number of steps.
            steps_per_epoch: Steps an epoch.
        """
        return step == steps or step % (self.every_epochs * steps_per_epoch) == 0

    def score(self, trunk: Trunk, role: Role, seed: int) -> Tensor:
        """Return the score of a role's answer to each prompt.

        Args:
            trunk: Holds the role.
            role: The role whose weights are tried.
            seed: Seed of the answers.

        Returns:
            Scores, NaN for an unscored answer, (P,).

        Raises:
            TrainingError: If the scores have no finite mean, so no weights can be chosen by them.
        """
        places = range(len(self.prompts))
        seeds = [[seed_from(seed, "trial", place)] for place in places]
        rollouts = roll_out(trunk, self.prompts, places, seeds, self.sampling, role, self.sampler)
        total = as_rewards(self.reward(rollouts)).total
        mean = total.nanmean().item()
        if not math.isfinite(mean):
            raise TrainingError(f"the mean reward of the trial's answers is {mean}")
        return cap_unfinished_scores(total, rollouts, self.missing_eos_score)


class BestWeights:
    """The values of some parameters when they scored best; their initial values before any score.

    Args:
        parameters: The trained parameters.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.values = [parameter.detach().clone() for parameter in self.parameters]
        self.scores = torch.tensor([])
        """Scores of the remembered values by prompt, (P,); empty before the first offer."""

    @torch.no_grad()
    def offer(self, scores: Tensor) -> bool:
        """Remember the current parameters if they score above the remembered ones.

        The two are compared on the prompts for which both have a score. Otherwise an unscored
        answer would count as much as the mean of the others. A tie changes nothing.

        Args:
            scores: Score by prompt, higher is better, NaN without one, (P,).

        Returns:
            True if the current parameters are remembered.
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
    def restore(self) -> None:
        """Set the parameters to the remembered values."""
        for value, parameter in zip(self.values, self.parameters, strict=True):
            parameter.copy_(value)

    def state(self) -> dict[str, Tensor]:
        values = {str(number): value for number, value in enumerate(self.values)}
        return {"scores": self.scores, **values}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self.scores = state["scores"]
        for number, value in enumerate(self.values):
            value.copy_(state[str(number)])
