import re
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from rlhf_core.config.evaluation import PromotionSettings
from rlhf_core.evaluation.promotion import decide
from rlhf_core.evaluation.spending import WinRateBound
from tests import facts

GOOD = facts.evaluation(
    "policy",
    "sft",
    judge="verifier",
    judge_version="verifier-1",
    prompts=40,
    comparisons=80,
    win_rate=0.62,
    win_rate_low=0.54,
    win_rate_high=0.7,
    policy_score=0.4,
    baseline_score=0.3,
    policy_tokens=12.0,
    baseline_tokens=14.0,
    policy_eos_rate=0.95,
    kl=2.0,
)


KNOWN = WinRateBound(decision=3, prompts=40, error_rate=0.05 / 12, bound=0.54)


def test_a_policy_that_surely_wins_is_promoted():
    promoted, (reason,) = decide(GOOD, KNOWN, PromotionSettings())
    assert promoted
    assert reason == (
        "wins 62.0% of the comparisons; decision 3 on these prompts: at least 54.0% with 99.6% "
        "confidence"
    )


@pytest.mark.parametrize(
    ("changes", "known", "reason"),
    [
        (
            {},
            {"bound": 0.481},
            "^wins 62.0% of the comparisons; decision 3 on these prompts: at least 48.1% with "
            "99.6% confidence, which is not above 50.0%$",
        ),
        ({}, {"bound": 0.5}, "not above 50.0%"),
        (
            {"win_rate": 0.222, "win_rate_low": 0.1, "win_rate_high": 0.41},
            {"bound": 0.08},
            "^loses to the baseline: wins 22.2% of the comparisons, at most 41.0% with 95% "
            "confidence; it must win more than 50.0%$",
        ),
        (
            {"win_rate": 0.45, "win_rate_low": 0.3, "win_rate_high": 0.6},
            {"bound": 0.28},
            "^wins 45.0% of the comparisons; it must win more than 50.0%$",
        ),
        (
            {"prompts": 0, "win_rate": None, "win_rate_low": None, "win_rate_high": None},
            {"prompts": 0, "bound": None},
            "judge 'verifier' scored none of the held-out prompts",
        ),
        (
            {"prompts": 19},
            {"prompts": 19},
            "scored only 19 of the held-out prompts; with fewer than 20 there is no decision",
        ),
        ({"kl": 10.1}, {}, "KL from the SFT model is 10.10 nats an answer, above 10"),
        ({"policy_eos_rate": 0.3}, {}, "only 30% of its answers end by themselves, below 50%"),
    ],
)
def test_each_condition_refuses_with_its_reason(
    changes: dict[str, object], known: dict[str, Any], reason: str
):
    bound = replace(KNOWN, **known)
    promoted, reasons = decide(GOOD.model_copy(update=changes), bound, PromotionSettings())
    assert not promoted
    assert len(reasons) == 1
    assert re.search(reason, reasons[0])


def test_a_threshold_of_ones_own_is_not_called_a_loss():
    """Above 60 % is wanted, and 52 to 58 % was won: more than half, and still refused."""
    found = GOOD.model_copy(update={"win_rate": 0.55, "win_rate_low": 0.52, "win_rate_high": 0.58})
    _, (reason,) = decide(found, replace(KNOWN, bound=0.5), PromotionSettings(win_rate_above=0.6))
    assert reason.startswith("wins 55.0% of the comparisons, at most 58.0%")


def test_prompts_that_decided_too_often_are_too_few():
    """Decision 50 has an error rate of 0.05 / 2550: 1/2^15 is more than that, 1/2^16 less."""
    worn = WinRateBound(decision=50, prompts=12, error_rate=0.05 / 2550, bound=0.45)
    promoted, reasons = decide(GOOD, worn, PromotionSettings(min_prompts=6))
    assert not promoted
    assert reasons[0] == (
        "judge 'verifier' scored only 12 of the held-out prompts; decision 50 on these prompts, "
        "with 99.998% confidence, takes at least 16"
    )


@pytest.mark.parametrize(
    ("settings", "least"),
    [({"min_prompts": 5}, 6), ({"min_prompts": 20, "win_rate_above": 0.9}, 36)],
)
def test_a_minimum_that_no_policy_can_pass_is_refused(settings: dict[str, float], least: int):
    """0.5 ** 5 and 0.9 ** 35 are more than 2.5 %, 0.5 ** 6 and 0.9 ** 36 are less."""
    with pytest.raises(ValidationError, match=rf"set at least {least}\b"):
        PromotionSettings.model_validate(settings)
    PromotionSettings.model_validate({**settings, "min_prompts": least})


def test_all_reasons_are_given():
    worst = GOOD.model_copy(update={"kl": 50.0, "policy_eos_rate": 0.0})
    assert len(decide(worst, replace(KNOWN, bound=0.1), PromotionSettings())[1]) == 3
