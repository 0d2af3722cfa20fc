"""Fifty nightly decisions on one held-out set: false promotions, and the power that is left.

Of policies that are no better, the share of runs with any promotion in 50 cycles; once with results
drawn anew in each cycle, once with the results of the first, of which one in ten is drawn anew. Of
policies that are better, the share that decision k promotes.
"""

from collections.abc import Iterator

import numpy as np

from rlhf_core.evaluation.bounds import p_value
from rlhf_core.evaluation.spending import level_of
from rlhf_core.models.device import Compute
from tests.benchmarks.coverage import Condition, Results
from tests.benchmarks.result import Result

CYCLES, RUNS, EXPERIMENTS = 50, 2000, 2000
TOTAL, FIXED = 0.05, 0.025
REDRAWN = 0.1
"""Share of the results that are drawn anew in a cycle of the harder case."""
DECISIONS = (1, 5, 20, 50)
SURELY_NOT = 1.5
"""Standard errors above one half up to which no decision promotes: the bound at 2.5 % lies further
below the mean than that of the normal distribution, 1.96."""


def chance_of_equals(results: Results) -> float:
    """Return the p-value of a policy that is no better; 1 if it is surely not small."""
    means = results.mean(axis=1)
    if means.mean() - 0.5 < SURELY_NOT * means.std() / np.sqrt(len(means)):
        return 1.0
    return p_value(results.tolist(), 0.5)


def cycles(
    condition: Condition, generator: np.random.Generator, redrawn: float
) -> Iterator[Results]:
    """Yield the results of each cycle of a run.

    Args:
        condition: Chances of the results.
        generator: Source of the draws.
        redrawn: Share of the results that differ from those of the first cycle; 1 for all.
    """
    first = condition.draw(generator)
    for _ in range(CYCLES):
        anew = generator.random(first.shape) < redrawn
        yield np.where(anew, condition.draw(generator), first)


def false_promotions(
    condition: Condition, runs: int, redrawn: float, seed: int
) -> tuple[float, float]:
    """Return the shares of runs with any promotion: by spending, and at 2.5 % in each cycle.

    Args:
        condition: Chances of the results of a policy that is no better.
        runs: Number of runs.
        redrawn: Share of the results that differ from cycle to cycle.
        seed: Seed of the draws.
    """
    generator, spending, fixed = np.random.default_rng(seed), 0, 0
    for _ in range(runs):
        chances = [chance_of_equals(each) for each in cycles(condition, generator, redrawn)]
        spending += any(p < level_of(k, TOTAL) for k, p in enumerate(chances, start=1))
        fixed += any(p < FIXED for p in chances)
    return spending / runs, fixed / runs


def power(condition: Condition, experiments: int, seed: int) -> dict[str, float]:
    """Return the share of better policies that each of some decisions promotes.

    Args:
        condition: Chances of the results of a policy that is better.
        experiments: Number of evaluations.
        seed: Seed of the draws.
    """
    generator = np.random.default_rng(seed)
    drawn = [condition.draw(generator) for _ in range(experiments)]
    chances = np.array([chance_of_equals(results) for results in drawn])
    levels = {f"decision {k}": level_of(k, TOTAL) for k in DECISIONS}
    return {
        name: float((chances < level).mean()) for name, level in (levels | {"2.5 %": FIXED}).items()
    }


def run(compute: Compute) -> list[Result]:
    """Return the shares of false promotions, then the power of several decisions."""
    rows = []
    for prompts, samples in ((20, 2), (55, 2), (200, 4)):
        even = Condition(prompts, samples, 0.5, 0.1, 4.0)
        for redrawn, what in ((1.0, "drawn anew"), (REDRAWN, "of which a tenth is drawn anew")):
            shares = false_promotions(even, RUNS, redrawn, seed=1)
            of = f"{CYCLES} cycles of {prompts} prompts × {samples}, results {what}"
            for how, share in zip(("spending", "2.5 % each"), shares, strict=True):
                rows.append(_row(f"{of}: any promotion, {how}", share, f"of {RUNS:,} runs"))
    for prompts, samples in ((200, 4), (55, 2)):
        for truth in (0.55, 0.6, 0.65):
            found = power(Condition(prompts, samples, truth, 0.0, 4.0), EXPERIMENTS, seed=1)
            for name, share in found.items():
                detail = f"{prompts} prompts × {samples}, truly {truth:.0%}: promoted, {name}"
                rows.append(_row(detail, share, f"of {EXPERIMENTS:,} policies"))
    return rows


def _row(detail: str, value: float, unit: str) -> Result:
    return Result.alone("nightly", detail, value, unit)
