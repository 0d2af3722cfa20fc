"""Alpha spending: many decisions on one held-out set, and one bound of the chance of any error.

Decision k on the same held-out prompts is made at the error rate α / (k (k + 1)), where α is
1 - promotion.confidence. The first one takes α / 2, and all of them together, for ever, at most α:
1/(1·2) + 1/(2·3) + … + 1/(K (K + 1)) = 1 - 1/(K + 1). By the union bound (Bonferroni, 1936) the
chance that a policy no better than its baseline is ever promoted on one set is at most α. Spending
a fixed α over a sequence of tests is that of Foster and Stine (JRSS B 70, 2008, "alpha spending");
the name and the idea for one test come from Lan and DeMets (Biometrika 70, 1983).

Why not e-values (Ramdas, Grünwald, Vovk and Shafer, Statistical Science 38, 2023): an e-process
gathers evidence about one hypothesis over time. Each cycle tests another policy, often against
another champion, so evidence of one cycle says nothing about the next; and the cycles share prompts
and random numbers, so their e-values may not be multiplied. The union bound holds however the
decisions depend on each other. What it costs is measured in tests/benchmarks/RESULTS.md.

While no policy is better, every decision before the first false promotion is a refusal, so no
policy depends on the set. The bound leaves out what the promotion of a better policy, or a person
who reads the figures, tells later policies about the set (Dwork et al., Science 349, 2015).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rlhf_core.evaluation.bounds import lower_bound
from rlhf_core.evaluation.win_rate import scored_prompts


def level_of(decision: int, total: float) -> float:
    """Return the error rate of a decision on a held-out set.

    Args:
        decision: Its number on this set, from 1.
        total: Error rate of all decisions together, 1 - promotion.confidence.
    """
    return total / (decision * (decision + 1))


@dataclass(frozen=True)
class WinRateBound:
    """The lower bound of a win rate that a decision rests on."""

    decision: int
    """Number of the decision on these held-out prompts, from 1."""
    prompts: int
    """Prompts with at least one comparison that counts."""
    error_rate: float
    """Chance that the bound lies above the true win rate."""
    bound: float | None
    """None if nothing was scored."""


def bound_win_rate(
    margins: Sequence[Sequence[float | None]], decision: int, total: float
) -> WinRateBound:
    """Return the lower bound of the win rate for a decision.

    Args:
        margins: For each prompt, the judge's margin for the policy in each comparison, 0 for a tie;
            None without an opinion.
        decision: Number of the decision on these prompts, from 1.
        total: Error rate of all decisions together, 1 - promotion.confidence.
    """
    level, scored = level_of(decision, total), scored_prompts(margins)
    bound = lower_bound(scored, level) if scored else None
    return WinRateBound(decision, len(scored), level, bound)


def confidence_in_words(error_rate: float) -> str:
    """Return 1 - error_rate as a percentage, with as many digits as keep it below 100 %."""
    digits = max(1, -math.floor(math.log10(100 * error_rate)))
    return f"{1 - error_rate:.{digits}%}"
