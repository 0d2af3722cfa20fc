"""How reliable each judge is, learnt from votes alone (Dawid, Skene 1979, Applied Statistics 28).

Each contest has a better side that nobody saw; each judge has a confusion matrix: how often it says
`first`, `second` or `tie` when one side is the better one. EM finds what makes the votes likeliest.
Own code, because crowd-kit, the kept library, knows no class that is said and never true (a tie)
and no prior on its matrices, and needs nltk for what are forty lines here.
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
"""What can be true."""
LABELS = (Outcome.FIRST, Outcome.SECOND, Outcome.TIE)
"""What a judge can say."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """What was learnt of each judge."""

    prior: tuple[float, ...]
    """How often each of SIDES is the better one."""
    confusion: dict[str, tuple[tuple[float, ...], ...]]
    """By judge version: a row for each of SIDES, the chance of each of LABELS in it."""
    contests: int
    """How many it was learnt from."""

    def probability(self, votes: Mapping[str, Outcome]) -> float:
        """That the first is the better one, from the votes of some of the judges."""
        likely = np.log(np.array(self.prior))
        for judge, label in votes.items():
            likely = likely + np.log(np.array(self.confusion[judge])[:, LABELS.index(label)])
        likelihood = np.exp(likely - likely.max())
        return float(likelihood[0] / likelihood.sum())


def fit(
    votes: Sequence[Mapping[str, Outcome]],
    pseudo_votes: float = 1.0,
    tolerance: float = 1e-7,
    most_steps: int = 1000,
) -> Reliability:
    """Learn the judges' reliability from votes without truth.

    It starts from the majority of each contest, so that judges are taken to be right more often
    than wrong.

    Args:
        votes: One a contest: what each judge said, by its version; those without an opinion are
            left out.
        pseudo_votes: Added to every cell of every matrix, so that nothing is held impossible; 0 is
            the paper's maximum likelihood.
        tolerance: EM ends when the mean log-posterior of a contest rises by less.
        most_steps: EM ends then at the latest.

    Raises:
        TrainingError: If there is no contest with a vote.
    """
    judges = sorted({judge for contest in votes for judge in contest})
    said = one_hot([contest for contest in votes if contest], judges)
    if not len(said):
        raise TrainingError("no contest has a vote; the jury's reliability needs some")
    beliefs = _majority(said)
    before = -np.inf
    for _ in range(most_steps):
        prior, confusion = maximise(said, beliefs, pseudo_votes)
        beliefs, objective = expect(said, prior, confusion, pseudo_votes)
        if (objective - before) / len(said) < tolerance:
            break
        before = objective
    rows = [tuple(tuple(map(float, row)) for row in matrix) for matrix in confusion]
    return Reliability(
        tuple(map(float, prior)), dict(zip(judges, rows, strict=True)), contests=len(said)
    )


def one_hot(votes: Sequence[Mapping[str, Outcome]], judges: Sequence[str]) -> Array:
    """Votes as ones in (contests, judges, labels); no vote is a row of zeros."""
    said = np.zeros((len(votes), len(judges), len(LABELS)))
    for row, contest in enumerate(votes):
        for judge, label in contest.items():
            said[row, judges.index(judge), LABELS.index(label)] = 1.0
    return said


def maximise(said: Array, beliefs: Array, pseudo_votes: float) -> tuple[Array, Array]:
    """The M-step: prior (sides) and confusion (judges, sides, labels) that fit the beliefs."""
    counts = np.einsum("ck,cjl->jkl", beliefs, said) + max(pseudo_votes, 1e-12)
    prior = beliefs.sum(0) + max(pseudo_votes, 1e-12)
    return prior / prior.sum(), counts / counts.sum(2, keepdims=True)


def expect(said: Array, prior: Array, confusion: Array, pseudo_votes: float) -> tuple[Array, float]:
    """The E-step: beliefs (contests, sides), and the log-posterior, which never falls."""
    joint = np.log(prior) + np.einsum("cjl,jkl->ck", said, np.log(confusion))
    highest = joint.max(1, keepdims=True)
    evidence = highest + np.log(np.exp(joint - highest).sum(1, keepdims=True))
    prior_belief = pseudo_votes * (np.log(confusion).sum() + np.log(prior).sum())
    return np.exp(joint - evidence), float(evidence.sum() + prior_belief)


def _majority(said: Array) -> Array:
    """The share of the votes for each side; a tie is half a vote for both."""
    counts = said.sum(1)
    sides = counts[:, : len(SIDES)] + counts[:, len(SIDES) :] / len(SIDES)
    return np.asarray(sides / sides.sum(1, keepdims=True))


def save(reliability: Reliability, path: Path) -> None:
    with whole_text(path) as stream:
        stream.write(json.dumps(asdict(reliability), indent=2) + "\n")


def load(path: Path) -> Reliability:
    """Read what `save` wrote.

    Raises:
        InputError: If there is no such file, or it is not one of these.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        confusion = {
            judge: tuple(tuple(float(chance) for chance in row) for row in matrix)
            for judge, matrix in found["confusion"].items()
        }
        shapes = {np.shape(matrix) for matrix in confusion.values()}
        if shapes != {(len(SIDES), len(LABELS))} or len(found["prior"]) != len(SIDES):
            raise ValueError(f"matrices of {shapes}")
        return Reliability(tuple(map(float, found["prior"])), confusion, int(found["contests"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} holds no reliability of a jury ({error}); `solon judges train jury` makes one"
        ) from None
