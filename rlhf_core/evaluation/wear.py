"""The wear of a held-out set: each decision on it may promote a policy that is no better.

A decision promotes such a policy with a chance of at most (1 - confidence) / 2, the error of one
end of the interval. Over several decisions on one set the chances add up at most (Bonferroni,
1936), however the decisions depend on each other. While no policy is better, every decision before
the first false promotion is a refusal, so no policy depends on the set. The bound leaves out what
the promotion of a better policy, or a person who reads the figures, tells later policies about the
set. Fresh prompts begin anew. Dwork et al. (Science 349, 2015) show why a set that decides again
and again must wear out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_high


@dataclass(frozen=True)
class Wear:
    """The decisions that a held-out set took part in."""

    prompts: int
    decisions: int
    """Decisions that at least half of the prompts took part in."""
    false_promotion: float
    """Bound of the chance that at least one of these decisions promoted a policy that is no better
    than what it was compared with."""


def wear_of(prompts: int, used: Sequence[tuple[int, float]]) -> Wear:
    """Return the wear of a held-out set.

    Args:
        prompts: Number of held-out prompts.
        used: For each prompt that took part in a decision, the number of its decisions and the sum
            of their error rates.
    """
    unused = [(0, 0.0)] * max(0, prompts - len(used))
    each = [*used, *unused]
    if not each:
        return Wear(0, 0, 0.0)
    decisions = median_high(count for count, _ in each)
    return Wear(prompts, decisions, min(1.0, median_high(spent for _, spent in each)))


def describe_wear(wear: Wear, limit: int) -> str:
    """Return a sentence about the wear of a held-out set.

    Args:
        wear: The wear.
        limit: Decisions after which the set counts as spent.

    Returns:
        The sentence; empty before the first decision.
    """
    if not wear.decisions:
        return ""
    count = "1 decision" if wear.decisions == 1 else f"{wear.decisions} decisions"
    told = (
        f"{count} on these {wear.prompts} held-out prompts: the chance of at least one false "
        f"promotion is at most {wear.false_promotion:.1%}"
    )
    if wear.decisions < limit:
        return f"{told}; the set is spent after {limit}"
    return (
        f"{told}; THE HELD-OUT SET IS SPENT (promotion.decisions_per_holdout = {limit}): hold out "
        "fresh prompts, by adding prompts to the source"
    )
