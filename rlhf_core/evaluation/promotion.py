"""Decision whether a policy is promoted, with every reason against it or the one for it."""

from rlhf_core.config.evaluation import PromotionSettings
from rlhf_core.records import Evaluation

EVEN = 0.5
"""Win rate of two models that are equally good."""


def decide(evaluation: Evaluation, settings: PromotionSettings) -> tuple[bool, tuple[str, ...]]:
    """Apply the promotion's conditions to the deciding evaluation.

    Returns:
        True if the policy is promoted, and the reasons.
    """
    against = [
        reason
        for reason in (
            _prompts(evaluation, settings),
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


def _prompts(evaluation: Evaluation, settings: PromotionSettings) -> str | None:
    if evaluation.prompts >= settings.min_prompts:
        return None
    scored = f"only {evaluation.prompts}" if evaluation.prompts else "none"
    return (
        f"judge {evaluation.judge!r} scored {scored} of the held-out prompts; with fewer than "
        f"{settings.min_prompts} there is no decision (promotion.min_prompts)"
    )


def _win_rate(evaluation: Evaluation, settings: PromotionSettings) -> str | None:
    rate, low, high = evaluation.win_rate, evaluation.win_rate_low, evaluation.win_rate_high
    if rate is None or low is None or high is None or low > settings.win_rate_above:
        return None
    wins, wanted = f"wins {rate:.1%} of the comparisons", f"{settings.win_rate_above:.1%}"
    sure = f"with {settings.confidence:.0%} confidence"
    if high < settings.win_rate_above:
        lost = "loses to the baseline: " if high < EVEN else ""
        return f"{lost}{wins}, at most {high:.1%} {sure}; it must win more than {wanted}"
    if rate <= settings.win_rate_above:
        return f"{wins}; it must win more than {wanted}"
    return f"{wins}, but {sure} only {low:.1%} or more, which is not above {wanted}"


def _limit(what: str, value: float, limit: float, unit: str) -> str | None:
    return f"{what} is {value:.2f}{unit}, above {limit:g}" if value > limit else None


def _eos(evaluation: Evaluation, settings: PromotionSettings) -> str | None:
    if evaluation.policy_eos_rate >= settings.min_eos_rate:
        return None
    return (
        f"only {evaluation.policy_eos_rate:.0%} of its answers end by themselves, below "
        f"{settings.min_eos_rate:.0%}"
    )
