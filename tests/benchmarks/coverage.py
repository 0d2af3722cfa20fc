"""How often the win rate's interval covers the truth, and how often an equal policy is promoted.

Experiments are drawn from known chances: how many prompts, how many comparisons of each, how many
ties, and how far the chance to win differs from prompt to prompt.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlhf_core.evaluation.bounds import p_value
from rlhf_core.evaluation.intervals import METHOD, mean_interval
from rlhf_core.models.device import Compute
from tests.benchmarks.result import Result

CONFIDENCE = 0.95
ERROR_RATE = 0.025
EXPERIMENTS = 1000
PROMPTS = (8, 20, 55, 200, 1000)


Results = NDArray[np.float64]
"""The results of an evaluation: 1 for a win, 0.5 for a tie, 0 for a loss, (prompts, samples)."""


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

    @property
    def is_usual(self) -> bool:
        """Whether this is a win rate as evaluations have it, not one near its end."""
        return self.win <= 0.7 and not self.lost

    def draw(self, generator: np.random.Generator) -> Results:
        """Return the results of one experiment, those of a prompt in order of their value."""
        shape = (self.prompts, self.samples)
        chance = np.full(self.prompts, self.win / (1 - self.lost))
        if self.concentration is not None:
            a, b = self.concentration * self.win, self.concentration * (1 - self.win)
            chance = generator.beta(a, b, self.prompts)
        chance *= generator.random(self.prompts) >= self.lost
        won = (generator.random(shape) < chance[:, None]).astype(float)
        return np.sort(np.where(generator.random(shape) < self.ties, 0.5, won))


@dataclass(frozen=True)
class Measured:
    """Shares of the experiments of a condition."""

    coverage: float
    promoted: float
    """Share in which the exact bound at 2.5 % lies above one half; 0 unless the policy is even."""


def _conditions() -> Iterator[Condition]:
    for prompts in PROMPTS:
        for samples in (1, 2, 4):
            for concentration in (None,) if samples == 1 else (None, 4.0, 1.0):
                for win in (0.5, 0.6, 0.7, 0.95):
                    for ties in (0.0, 0.3, 0.7):
                        yield Condition(prompts, samples, win, ties, concentration)
            for lost in (1 / 6, 0.45):
                yield Condition(prompts, samples, 0.5, 0.0, None, lost)


CONDITIONS = tuple(_conditions())


def measure(condition: Condition, experiments: int, seed: int) -> Measured:
    """Draw so many experiments, and count the intervals that cover the truth, and promotions."""
    generator = np.random.default_rng(seed)
    covered = promoted = 0
    known: dict[bytes, tuple[bool, bool]] = {}
    digits = 3.0 ** np.arange(condition.samples)
    for _ in range(experiments):
        results = condition.draw(generator)
        kinds = np.bincount((2 * results @ digits).astype(int)).tobytes()
        if kinds not in known:
            known[kinds] = _judge(condition, results.tolist())
        covers, promotes = known[kinds]
        covered += covers
        promoted += promotes
    return Measured(covered / experiments, promoted / experiments)


def _judge(condition: Condition, groups: Sequence[Sequence[float]]) -> tuple[bool, bool]:
    """Return whether the interval covers the truth, and whether an even policy is promoted."""
    low, high = mean_interval(groups, CONFIDENCE)
    promotes = condition.is_even and p_value(groups, 0.5) < ERROR_RATE
    return low <= condition.truth <= high, promotes


def run(compute: Compute) -> list[Result]:
    """Return coverage at usual and extreme win rates, and the most equal policies promoted."""
    rows = []
    for prompts in PROMPTS:
        for samples in (1, 2, 4):
            those = [c for c in CONDITIONS if (c.prompts, c.samples) == (prompts, samples)]
            found = {condition: measure(condition, EXPERIMENTS, seed=1) for condition in those}
            usual = [m.coverage for c, m in found.items() if c.is_usual]
            extreme = [m.coverage for c, m in found.items() if not c.is_usual]
            figures = {
                "least coverage": min(usual),
                "median coverage": float(np.median(usual)),
                "largest coverage": max(usual),
                "least coverage of extreme win rates": min(extreme),
                "largest coverage of extreme win rates": max(extreme),
                "equal, promoted": max(m.promoted for c, m in found.items() if c.is_even),
            }
            of = f"{prompts} prompts × {samples}, {len(usual)} + {len(extreme)} conditions"
            rows += [_row(f"{of}: {kind}", value) for kind, value in figures.items()]
            outside = [
                (c, m.coverage)
                for c, m in found.items()
                if c.is_usual and not 0.93 <= m.coverage <= 0.97
            ]
            for condition, coverage in outside:
                rows.append(_row(f"outside 93 to 97 %: {condition}", coverage))
    return rows


def _row(detail: str, value: float) -> Result:
    unit = f"of {EXPERIMENTS:,} experiments"
    return Result.alone("coverage", detail, value, unit, METHOD)
