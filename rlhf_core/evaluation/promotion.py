"""Whether a policy takes over: every reason against it, or the one for it."""

from rlhf_core.config.tree import PromotionSettings
from rlhf_core.records import Evaluation


def decide(evaluation: Evaluation, settings: PromotionSettings) -> tuple[bool, tuple[str, ...]]:
    """Judge the deciding evaluation by the promotion's conditions.

    Returns:
        Whether to promote, and why or why not.
    """
    against = [
        reason
        for reason in (
            _win_rate(evaluation, settings),
            _limit("KL from the SFT model", evaluation.kl, settings.max_kl, " nats an answer"),
            _eos(evaluation, settings),
        )
        if reason
    ]
    if against:
        return False, tuple(against)
    return True, (
        f"wins {evaluation.win_rate:.1%} of the comparisons, at least "
        f"{evaluation.win_rate_low:.1%} with {settings.confidence:.0%} confidence",
    )


def _win_rate(evaluation: Evaluation, settings: PromotionSettings) -> str | None:
    if evaluation.win_rate is None or evaluation.win_rate_low is None:
        return f"judge {evaluation.judge!r} scored no comparison"
    if evaluation.win_rate_low > settings.win_rate_above:
        return None
    return (
        f"wins {evaluation.win_rate:.1%} of the comparisons, but only {evaluation.win_rate_low:.1%}"
        f" for sure, which is not above {settings.win_rate_above:.1%}"
    )


def _limit(what: str, value: float, limit: float, unit: str) -> str | None:
    return f"{what} is {value:.2f}{unit}, above {limit:g}" if value > limit else None


def _eos(evaluation: Evaluation, settings: PromotionSettings) -> str | None:
    if evaluation.policy_eos_rate >= settings.min_eos_rate:
        return None
    return (
        f"only {evaluation.policy_eos_rate:.0%} of its answers end by themselves, below "
        f"{settings.min_eos_rate:.0%}"
    )
