"""The wear of a held-out set: what its decisions spent of the error rate that it may spend.

A decision with half of the set's prompts or more counts, so a set of mostly fresh prompts begins
anew. The bound is one for each set, not for all sets of a line together. `spending` says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_high

from rlhf_core.config.evaluation import PromotionSettings
from rlhf_core.evaluation.power import least_win_rate
from rlhf_core.evaluation.spending import confidence_in_words, level_of


@dataclass(frozen=True)
class Wear:
    """The decisions that a held-out set took part in."""

    prompts: int
    decisions: int
    """Decisions that at least half of the prompts took part in."""
    spent: float
    """Bound of the chance that at least one of these decisions promoted a policy that is no better
    than what it was compared with: the sum of their error rates."""

    @property
    def next_decision(self) -> int:
        """Number of the coming decision, from 1."""
        return self.decisions + 1


UNUSED = Wear(prompts=0, decisions=0, spent=0.0)


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
        return UNUSED
    decisions = median_high(count for count, _ in each)
    return Wear(prompts, decisions, min(1.0, median_high(spent for _, spent in each)))


def describe_wear(wear: Wear, settings: PromotionSettings) -> str:
    """Return what the decisions on a held-out set spent, what is left, and what can still show.

    Args:
        wear: The wear.
        settings: Conditions of the coming decision.

    Returns:
        The sentence; empty before the first decision.
    """
    if not wear.decisions:
        return ""
    total, above = 1 - settings.confidence, settings.win_rate_above
    count = "1 decision" if wear.decisions == 1 else f"{wear.decisions} decisions"
    left = max(0.0, total - wear.spent)
    level = level_of(wear.next_decision, total)
    now, fresh = (least_win_rate(wear.prompts, above, a) for a in (level, level_of(1, total)))
    shown = "nothing" if now is None else f"a win rate of {now:.1%} or more"
    told = (
        f"{count} on these {wear.prompts} held-out prompts may have promoted a policy that is no "
        f"better with a chance of at most {wear.spent:.2%}; {left:.2%} is left; the next decision, "
        f"with {confidence_in_words(level)} confidence, can show {shown}"
    )
    if fresh is None:
        return f"{told}, and so can as many fresh prompts"
    return f"{told}; as many fresh prompts could show {fresh:.1%}"
