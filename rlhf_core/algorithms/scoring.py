"""Scores of whole sequences: log-probabilities, rewards, KL divergence."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rlhf_core.algorithms.memory import run_within_memory
from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.distributed.ranks import all_reduce
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk


@torch.no_grad()
def sequence_logprobs(
    trunk: Trunk, role: Role, sequences: Sequence[TokenSequence], temperature: float = 1.0
) -> Tensor:
    """Return the log-probability of each whole response.

    Args:
        trunk: Holds the role.
        role: The role that is read.
        sequences: The N sequences.
        temperature: Divides the logits.

    Returns:
        Σ log p over the response's tokens, in nats, (N,), on the CPU.
    """

    def read() -> Tensor:
        logprobs = torch.zeros(len(sequences))
        for group, batch in trunk.forward_batches(sequences):
            logprobs[group] = trunk.token_logprobs(role, batch, temperature).sum(dim=1).cpu()
        return logprobs

    return all_reduce(run_within_memory(trunk, read))


def score_sequences(trunk: Trunk, sequences: Sequence[TokenSequence], role: Role) -> Tensor:
    """Return the score of each sequence, the mean over the members of a role's head.

    Args:
        trunk: Holds the role.
        sequences: The N sequences.
        role: The role whose head is read.

    Returns:
        Scores, (N,), on the CPU.
    """
    return head_scores(trunk, sequences, role).mean(dim=1)


def score_rankings(trunk: Trunk, rankings: Sequence[RankedCandidates]) -> list[Tensor]:
    """Return the reward model's score of each candidate, (K,) for each ranking, on the CPU.

    All rankings together, in full micro-batches that are shared among the ranks.
    """
    sequences = [sequence for ranking in rankings for sequence in ranking.sequences]
    if not sequences:
        return []
    scores = score_sequences(trunk, sequences, Role.REWARD)
    return list(scores.split([len(ranking.sequences) for ranking in rankings]))


@torch.no_grad()
def head_scores(trunk: Trunk, sequences: Sequence[TokenSequence], role: Role) -> Tensor:
    """Return the score of each sequence by each member of a role's head.

    Args:
        trunk: Holds the role.
        sequences: The N sequences.
        role: The role whose head is read.

    Returns:
        Scores, (N, members), on the CPU.
    """

    def read() -> Tensor:
        scores = torch.zeros(len(sequences), trunk.heads[role].members)
        for group, batch in trunk.forward_batches(sequences):
            scores[group] = trunk.head_scores(role, batch).cpu()
        return scores

    return all_reduce(run_within_memory(trunk, read))


@torch.no_grad()
def scores_and_features(
    trunk: Trunk, sequences: Sequence[TokenSequence], role: Role
) -> tuple[Tensor, Tensor]:
    """Return the scores of each sequence, and the hidden states that they are linear functions of.

    Args:
        trunk: Holds the role.
        sequences: The N sequences.
        role: The role whose head is read.

    Returns:
        Scores, (N, members), and features, (N, H), in fp32 on the CPU.
    """

    def read() -> tuple[Tensor, Tensor]:
        scores = torch.zeros(len(sequences), trunk.heads[role].members)
        features = torch.zeros(len(sequences), trunk.hidden_size)
        for group, batch in trunk.forward_batches(sequences):
            last = batch.at_last(trunk.hidden_states(role, batch))
            scores[group] = trunk.heads[role].member_scores(last).cpu()
            features[group] = last.float().cpu()
        return scores, features

    scores, features = run_within_memory(trunk, read)
    return all_reduce(scores), all_reduce(features)


def sequence_kl(trunk: Trunk, sequences: Sequence[TokenSequence], temperature: float) -> Tensor:
    """Return Σ log π − log π_reference over the tokens of each answer.

    The mean over answers sampled from the policy estimates KL(π‖π_reference): the k1 estimate.

    Args:
        trunk: Holds the policy.
        sequences: N answers of the policy.
        temperature: The temperature that the answers were sampled at.

    Returns:
        In nats, may be negative, (N,), on the CPU.
    """
    policy, reference = (
        sequence_logprobs(trunk, role, sequences, temperature)
        for role in (Role.POLICY, Role.REFERENCE)
    )
    return policy - reference
