"""Scores of the reward model, and signs that an answer is unlike those that it learnt from.

Its heads agree on answers like those of its training and part elsewhere, and a linear head says
least about features that it never saw. Neither is a score: the guard watches them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from rlhf_core.algorithms.scoring import scores_and_features
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk

DISAGREEMENT = "disagreement"
"""Deviation of the scores of an answer among the heads, each centred on the same references."""
DISTANCE = "distance"
"""Distance of an answer from the nearest one to another prompt that the reward model learnt."""


@dataclass(frozen=True)
class RewardReading:
    """The reward model's reading of N answers."""

    heads: Tensor
    """Score of each head, (N, members)."""
    signs: Mapping[str, Tensor]
    """`DISAGREEMENT` with several heads and `DISTANCE` with learnt answers, (N,) each; NaN where
    there is none."""


class RewardReader:
    """Reads answers with the trunk's reward role.

    Args:
        trunk: Holds the reward role.
        learnt: Answers that the reward model learnt from; none if they are not to be compared.
    """

    def __init__(self, trunk: Trunk, learnt: Sequence[TokenSequence] = ()) -> None:
        self.trunk = trunk
        self._prompts = _numbers([sequence.prompt_ids for sequence in learnt])
        self._owners = torch.tensor([self._prompts[s.prompt_ids] for s in learnt])
        if learnt:
            _, features = scores_and_features(trunk, learnt, Role.REWARD)
            self._centre = features.mean(dim=0)
            self._learnt = normalize(features - self._centre, dim=1)

    def read(self, sequences: Sequence[TokenSequence]) -> RewardReading:
        """Return the scores of some answers, and the signs that they are unlike the learnt ones."""
        heads, features = scores_and_features(self.trunk, sequences, Role.REWARD)
        signs = {}
        if heads.shape[1] > 1:
            signs[DISAGREEMENT] = heads.std(dim=1, correction=0)
        if len(self._owners):
            signs[DISTANCE] = self._distances(features, [s.prompt_ids for s in sequences])
        return RewardReading(heads, signs)

    def _distances(self, features: Tensor, prompts: Sequence[tuple[int, ...]]) -> Tensor:
        """Return 1 − the greatest cosine to a learnt answer to another prompt, 0 to 2, (N,).

        Answers to the same prompt are left out: the baseline's are often the learnt ones
        themselves. Features are centred on the learnt ones, since hidden states share a direction.
        """
        cosines = normalize(features - self._centre, dim=1) @ self._learnt.T
        own = torch.tensor([self._prompts.get(prompt, -1) for prompt in prompts])
        cosines = cosines.masked_fill(own[:, None] == self._owners[None, :], -torch.inf)
        nearest = cosines.amax(dim=1)
        return torch.where(nearest.isinf(), torch.nan, (1 - nearest).clamp(0, 2))


def _numbers(prompts: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], int]:
    return {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
