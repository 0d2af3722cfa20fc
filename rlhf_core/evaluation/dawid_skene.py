"""Reliability of each judge, learnt from votes alone (Dawid, Skene 1979, Applied Statistics 28).

Each contest has an unknown better side. Each judge has a confusion matrix: how often it votes
`first`, `second` or `tie` if one side is better. EM finds the parameters that maximise the
likelihood of the votes. It is implemented here because crowd-kit, the maintained library, supports
neither a class that is voted but never true (a tie) nor a prior on its matrices, and needs nltk for
what takes forty lines here.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rlhf_core.errors import InputError, TrainingError
from rlhf_core.files.whole import whole_text
from rlhf_core.records import Outcome

SIDES = (Outcome.FIRST, Outcome.SECOND)
"""Possible truths of a contest."""
LABELS = (Outcome.FIRST, Outcome.SECOND, Outcome.TIE)
"""Possible votes of a judge."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """Reliability of each judge of a jury."""

    prior: tuple[float, ...]
    """Probability of each of SIDES to be the better one."""
    confusion: dict[str, tuple[tuple[float, ...], ...]]
    """Confusion matrix by judge version: P(label | side), one row a side, one column a label."""
    contests: int
    """Number of contests that it was learnt from."""

    def probability(self, votes: Mapping[str, Outcome]) -> float:
        """Return the probability that the first is better, given the votes of some judges."""
        likely = np.log(np.array(self.prior))
        for judge, label in votes.items():
            likely = likely + np.log(np.array(self.confusion[judge])[:, LABELS.index(label)])
        likelihood = np.exp(likely - likely.max())
        return float(likelihood[0] / likelihood.sum())


def fit(
    votes: Sequence[Mapping[str, Outcome]],
    pseudo_votes: float = 1.0,
    tolerance: float = 1e-7,
    max_steps: int = 1000,
) -> Reliability:
    """Learn the judges' reliability from votes without known truths.

    EM starts from the majority of each contest, which assumes that judges are right more often than
    wrong.

    Args:
        votes: For each contest, the vote of each judge by its version; judges without an opinion
            are absent.
        pseudo_votes: Count added to every cell of every matrix, so that no vote is impossible; 0 is
            the paper's maximum likelihood.
        tolerance: EM ends when the mean log-posterior of a contest rises by less than this.
        max_steps: Limit of EM steps.

    Returns:
        The reliability of every judge with a vote.

    Raises:
        TrainingError: If no contest has a vote.
    """
    judges = sorted({judge for contest in votes for judge in contest})
    encoded = one_hot([contest for contest in votes if contest], judges)
    if not len(encoded):
        raise TrainingError("no contest has a vote; the jury's reliability needs some")
    beliefs = _majority(encoded)
    before = -np.inf
    for _ in range(max_steps):
        prior, confusion = maximise(encoded, beliefs, pseudo_votes)
        beliefs, objective = expect(encoded, prior, confusion, pseudo_votes)
        if (objective - before) / len(encoded) < tolerance:
            break
        before = objective
    rows = [tuple(tuple(map(float, row)) for row in matrix) for matrix in confusion]
    return Reliability(
        tuple(map(float, prior)), dict(zip(judges, rows, strict=True)), contests=len(encoded)
    )


def one_hot(votes: Sequence[Mapping[str, Outcome]], judges: Sequence[str]) -> Array:
    """Return votes as one-hot rows, (contests, judges, labels); a missing vote is all zeros."""
    encoded = np.zeros((len(votes), len(judges), len(LABELS)))
    for row, contest in enumerate(votes):
        for judge, label in contest.items():
            encoded[row, judges.index(judge), LABELS.index(label)] = 1.0
    return encoded


def maximise(votes: Array, beliefs: Array, pseudo_votes: float) -> tuple[Array, Array]:
    """Run the M-step: fit the parameters to the beliefs.

    Args:
        votes: One-hot votes, (contests, judges, labels).
        beliefs: Probability of each side, (contests, sides).
        pseudo_votes: Count added to every cell.

    Returns:
        Prior, (sides,), and confusion, (judges, sides, labels).
    """
    counts = np.einsum("ck,cjl->jkl", beliefs, votes) + max(pseudo_votes, 1e-12)
    prior = beliefs.sum(0) + max(pseudo_votes, 1e-12)
    return prior / prior.sum(), counts / counts.sum(2, keepdims=True)


def expect(
    votes: Array, prior: Array, confusion: Array, pseudo_votes: float
) -> tuple[Array, float]:
    """Run the E-step: compute the beliefs from the parameters.

    Args:
        votes: One-hot votes, (contests, judges, labels).
        prior: Probability of each side, (sides,).
        confusion: P(label | side), (judges, sides, labels).
        pseudo_votes: Count added to every cell.

    Returns:
        Probability of each side, (contests, sides), and the log-posterior, which never decreases
        from step to step.
    """
    joint = np.log(prior) + np.einsum("cjl,jkl->ck", votes, np.log(confusion))
    highest = joint.max(1, keepdims=True)
    evidence = highest + np.log(np.exp(joint - highest).sum(1, keepdims=True))
    prior_belief = pseudo_votes * (np.log(confusion).sum() + np.log(prior).sum())
    return np.exp(joint - evidence), float(evidence.sum() + prior_belief)


def _majority(votes: Array) -> Array:
    """Return the share of the votes for each side, (contests, sides); a tie is half a vote each."""
    counts = votes.sum(1)
    sides = counts[:, : len(SIDES)] + counts[:, len(SIDES) :] / len(SIDES)
    return np.asarray(sides / sides.sum(1, keepdims=True))


def save(reliability: Reliability, path: Path) -> None:
    with whole_text(path) as stream:
        stream.write(json.dumps(asdict(reliability), indent=2) + "\n")


def load(path: Path) -> Reliability:
    """Read a file that `save` wrote.

    Raises:
        InputError: If there is no such file, or it has another format.
    """
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        confusion = {
            judge: tuple(tuple(float(chance) for chance in row) for row in matrix)
            for judge, matrix in saved["confusion"].items()
        }
        shapes = {np.shape(matrix) for matrix in confusion.values()}
        if shapes != {(len(SIDES), len(LABELS))} or len(saved["prior"]) != len(SIDES):
            raise ValueError(f"matrices of {shapes}")
        return Reliability(tuple(map(float, saved["prior"])), confusion, int(saved["contests"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} holds no reliability of a jury ({error}); `solon judges train jury` makes one"
        ) from None
