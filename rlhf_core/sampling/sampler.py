"""The sampler of a policy: prompts as token ids in, answers with their log-probabilities out.

Rollouts, best-of-n, the selection of fine-tuned weights, candidates and the evaluation all sample
through this interface. It says nothing of text; candidates.py does.
"""

from collections.abc import Sequence
from typing import Protocol

from rlhf_core.config.tree import SamplingSettings
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling.capacity import sampling_tokens
from rlhf_core.sampling.local import Sample, SamplingLimits, sample_on_all_ranks


class Sampler(Protocol):
    """Samples answers of a role of a trunk, as its weights are at the time of the call."""

    @property
    def engine(self) -> str:
        """Name of the engine that samples, which is stored with the answers."""

    def sample(
        self,
        trunk: Trunk,
        role: Role,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[Sequence[int]],
        limits: SamplingLimits,
    ) -> list[list[Sample]]:
        """Sample answers; all ranks call it at the same time.

        Args:
            trunk: Holds the role.
            role: The role that answers.
            prompts: Tokens of each prompt.
            seeds: For each prompt, the seed of each of its answers.
            limits: Length, temperature, special tokens.

        Returns:
            On every rank, the answers to each prompt, in the order of the seeds. If an end token
            was drawn, it is the last token of the answer.
        """


class LocalSampler:
    """Samples with the trunk itself; each rank samples its share of the prompts."""

    engine = "local"

    def sample(
        self,
        trunk: Trunk,
        role: Role,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[Sequence[int]],
        limits: SamplingLimits,
    ) -> list[list[Sample]]:
        """Sample answers, within the memory of a forward pass.

        Args:
            trunk: Holds the role.
            role: The role that answers.
            prompts: Tokens of each prompt.
            seeds: For each prompt, the seed of each of its answers.
            limits: Length, temperature, special tokens.

        Returns:
            The answers to each prompt, in the order of the seeds.
        """
        compute = trunk.compute
        with trunk.acting_as(role) as model, compute.autocast():
            longest = max(map(len, prompts), default=0) + limits.max_new_tokens
            tokens = sampling_tokens(model, compute, longest)
            return sample_on_all_ranks(model, prompts, seeds, limits, tokens)


LOCAL = LocalSampler()


def limits_of(trunk: Trunk, sampling: SamplingSettings) -> SamplingLimits:
    """Return the limits of a trunk's answers under some settings."""
    return SamplingLimits(
        sampling.max_new_tokens, sampling.temperature, trunk.end_ids, trunk.pad_id
    )
