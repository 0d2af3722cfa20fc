"""What models say of whole sequences: log-probabilities, scores, KL divergence."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rlhf_core.algorithms.memory import within_memory
from rlhf_core.distributed.ranks import all_reduce
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk


@torch.no_grad()
def sequence_logprobs(
    trunk: Trunk, role: Role, sequences: Sequence[TokenSequence], temperature: float = 1.0
) -> Tensor:
    """Log-probability of each whole response, in nats, (N,), on the CPU."""

    def read() -> Tensor:
        found = torch.zeros(len(sequences))
        for group, batch in trunk.forward_batches(sequences):
            found[group] = trunk.token_logprobs(role, batch, temperature).sum(dim=1).cpu()
        return found

    return all_reduce(within_memory(trunk, read))


def score_sequences(trunk: Trunk, sequences: Sequence[TokenSequence], role: Role) -> Tensor:
    """The head's number for each sequence, (N,), on the CPU."""
    return head_scores(trunk, sequences, role).mean(dim=1)


@torch.no_grad()
def head_scores(trunk: Trunk, sequences: Sequence[TokenSequence], role: Role) -> Tensor:
    """The number of each member of the head for each sequence, (N, members), on the CPU."""

    def read() -> Tensor:
        scores = torch.zeros(len(sequences), trunk.heads[role].members)
        for group, batch in trunk.forward_batches(sequences):
            scores[group] = trunk.head_scores(role, batch).cpu()
        return scores

    return all_reduce(within_memory(trunk, read))


def sequence_kl(trunk: Trunk, sequences: Sequence[TokenSequence], temperature: float) -> Tensor:
    """Σ log π − log π_SFT over each answer of the policy: its mean is the KL, in nats, (N,)."""
    policy, reference = (
        sequence_logprobs(trunk, role, sequences, temperature)
        for role in (Role.POLICY, Role.REFERENCE)
    )
    return policy - reference
