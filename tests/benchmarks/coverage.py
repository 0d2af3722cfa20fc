"""How often the win rate's interval covers the truth, and how often an equal policy is promoted.

Experiments are drawn from known chances: how many prompts, how many comparisons of each, how many
ties, and how far the chance to win differs from prompt to prompt.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rlhf_core.evaluation.intervals import METHOD, mean_interval
from rlhf_core.models.device import Compute
from tests.benchmarks.result import Result

CONFIDENCE = 0.95
EXPERIMENTS = 1000
PROMPTS = (5, 6, 8, 12, 20, 55, 200)


@dataclass(frozen=True)
class Condition:
    """Chances that the results of an experiment are drawn from."""

    prompts: int
    samples: int
    """Comparisons of each prompt."""
    win: float
    """Chance to win a comparison that is not a tie, in the mean over prompts."""
    ties: float
    concentration: float | None
    """Of the beta distribution of a prompt's own chance; None: all prompts have the same."""
    lost: float = 0.0
    """Share of the prompts that are always lost; the others make up for them."""

    @property
    def truth(self) -> float:
        """The true win rate."""
        return self.ties / 2 + (1 - self.ties) * self.win

    @property
    def is_even(self) -> bool:
        """Whether the policy is no better than the baseline."""
        return self.win == 0.5

    def draw(self, generator: np.random.Generator) -> list[list[float]]:
        """Return the results of one experiment, those of a prompt in order of their value."""
        shape = (self.prompts, self.samples)
        chance = np.full(self.prompts, self.win / (1 - self.lost))
        if self.concentration is not None:
            a, b = self.concentration * self.win, self.concentration * (1 - self.win)
            chance = generator.beta(a, b, self.prompts)
        chance *= generator.random(self.prompts) >= self.lost
        won = (generator.random(shape) < chance[:, None]).astype(float)
        return np.sort(np.where(generator.random(shape) < self.ties, 0.5, won)).tolist()


@dataclass(frozen=True)
class Measured:
    """Shares of the experiments of a condition."""

    coverage: float
    promoted: float


def _conditions() -> Iterator[Condition]:
    for prompts in PROMPTS:
        for samples in (1, 2, 4):
            for concentration in (None,) if samples == 1 else (None, 4.0):
                for win in (0.5, 0.65, 0.9, 0.97):
                    for ties in (0.0, 0.3):
                        yield Condition(prompts, samples, win, ties, concentration)
                yield Condition(prompts, samples, 0.5, 0.7, concentration)
            for lost in (1 / 6, 0.45):
                yield Condition(prompts, samples, 0.5, 0.0, None, lost)


CONDITIONS = tuple(_conditions())


def measure(condition: Condition, experiments: int, seed: int) -> Measured:
    """Draw so many experiments, and count the intervals that cover the truth, and promotions."""
    generator = np.random.default_rng(seed)
    covered = promoted = 0
    for _ in range(experiments):
        low, high = _interval(tuple(sorted(map(tuple, condition.draw(generator)))))
        covered += low <= condition.truth <= high
        promoted += low > 0.5
    return Measured(covered / experiments, promoted / experiments)


@lru_cache(maxsize=100_000)
def _interval(groups: tuple[tuple[float, ...], ...]) -> tuple[float, float]:
    return mean_interval(groups, CONFIDENCE)


def run(compute: Compute) -> list[Result]:
    """The least, median and largest coverage, and the largest share of equal policies promoted."""
    rows = []
    for prompts in PROMPTS:
        for samples in (1, 2, 4):
            those = [c for c in CONDITIONS if (c.prompts, c.samples) == (prompts, samples)]
            found = {condition: measure(condition, EXPERIMENTS, seed=1) for condition in those}
            coverage = [measured.coverage for measured in found.values()]
            promoted = max(m.promoted for c, m in found.items() if c.is_even)
            figures = (min(coverage), float(np.median(coverage)), max(coverage), promoted)
            of = f"{prompts} prompts × {samples}, {len(those)} conditions"
            kinds = ("least coverage", "median coverage", "largest coverage", "equal, promoted")
            rows += [_row(f"{of}: {k}", value) for k, value in zip(kinds, figures, strict=True)]
    return rows


def _row(detail: str, value: float) -> Result:
    return Result(
        name="coverage",
        detail=detail,
        ours=value,
        peer=None,
        ratio=None,
        low=None,
        high=None,
        goal=None,
        unit=f"of {EXPERIMENTS:,} experiments",
        peer_version=METHOD,
        command="python -m tests.benchmarks coverage",
    )
