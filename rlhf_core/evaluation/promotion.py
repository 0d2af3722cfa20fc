"""Decision whether a policy is promoted, with every reason against it or the one for it."""

from rlhf_core.config.evaluation import PromotionSettings
from rlhf_core.evaluation.power import least_prompts
from rlhf_core.evaluation.spending import WinRateBound, confidence_in_words
from rlhf_core.records import Evaluation

EVEN = 0.5
"""Win rate of two models that are equally good."""


def decide(
    evaluation: Evaluation, known: WinRateBound, settings: PromotionSettings
) -> tuple[bool, tuple[str, ...]]:
    """Apply the promotion's conditions to the deciding evaluation.

    Args:
        evaluation: The evaluation.
        known: The bound of its win rate at the error rate of this decision.
        settings: The conditions.

    Returns:
        True if the policy is promoted, and the reasons.
    """
    against = [
        reason
        for reason in (
            _prompts(evaluation, known, settings),
            _win_rate(evaluation, known, settings),
            _limit("KL from the SFT model", evaluation.kl, settings.max_kl, " nats an answer"),
            _eos(evaluation, settings),
        )
        if reason
    ]
    if against:
        return False, tuple(against)
    return True, (f"wins {evaluation.win_rate:.1%} of the comparisons; {_shown(known)}",)


def _prompts(
    evaluation: Evaluation, known: WinRateBound, settings: PromotionSettings
) -> str | None:
    scored = f"only {known.prompts}" if known.prompts else "none"
    told = f"judge {evaluation.judge!r} scored {scored} of the held-out prompts; "
    if known.prompts < settings.min_prompts:
        return (
            f"{told}with fewer than {settings.min_prompts} there is no decision "
            "(promotion.min_prompts)"
        )
    least = least_prompts(settings.win_rate_above, known.error_rate)
    if least is None or known.prompts >= least:
        return None
    return (
        f"{told}decision {known.decision} on these prompts, with "
        f"{confidence_in_words(known.error_rate)} confidence, takes at least {least}"
    )


def _win_rate(
    evaluation: Evaluation, known: WinRateBound, settings: PromotionSettings
) -> str | None:
    rate, high = evaluation.win_rate, evaluation.win_rate_high
    if rate is None or high is None or known.bound is None or known.bound > settings.win_rate_above:
        return None
    wins, wanted = f"wins {rate:.1%} of the comparisons", f"{settings.win_rate_above:.1%}"
    if high < settings.win_rate_above:
        lost = "loses to the baseline: " if high < EVEN else ""
        sure = f"with {settings.confidence:.0%} confidence"
        return f"{lost}{wins}, at most {high:.1%} {sure}; it must win more than {wanted}"
    if rate <= settings.win_rate_above:
        return f"{wins}; it must win more than {wanted}"
    return f"{wins}; {_shown(known)}, which is not above {wanted}"


def _shown(known: WinRateBound) -> str:
    """Return the bound of the win rate, and the confidence of this decision, in words."""
    sure = confidence_in_words(known.error_rate)
    return (
        f"decision {known.decision} on these prompts: at least {known.bound:.1%} with {sure} "
        "confidence"
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
