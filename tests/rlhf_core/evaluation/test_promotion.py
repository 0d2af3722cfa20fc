import re

import pytest

from rlhf_core.config.tree import PromotionSettings
from rlhf_core.evaluation.promotion import decide
from rlhf_core.records import Evaluation

GOOD = Evaluation(
    policy_id="policy",
    baseline_id="sft",
    judge="verifier",
    judge_version="verifier-1",
    role="decides",
    settings="s",
    prompts=40,
    comparisons=80,
    unscored=0,
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


def test_a_policy_that_surely_wins_is_promoted():
    promoted, (reason,) = decide(GOOD, PromotionSettings())
    assert promoted
    assert reason == "wins 62.0% of the comparisons, at least 54.0% with 95% confidence"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"win_rate_low": 0.49}, "wins 62.0%.* but only 49.0% for sure, .* not above 50.0%"),
        ({"win_rate_low": 0.5}, "not above 50.0%"),
        ({"win_rate": None, "win_rate_low": None}, "'verifier' scored no comparison"),
        ({"kl": 10.1}, "KL from the SFT model is 10.10 nats an answer, above 10"),
        ({"policy_eos_rate": 0.3}, "only 30% of its answers end by themselves, below 50%"),
    ],
)
def test_each_condition_refuses_with_its_reason(changes: dict[str, object], reason: str):
    promoted, reasons = decide(GOOD.model_copy(update=changes), PromotionSettings())
    assert not promoted
    assert len(reasons) == 1
    assert re.search(reason, reasons[0])


def test_all_reasons_are_given():
    worst = GOOD.model_copy(update={"kl": 50.0, "policy_eos_rate": 0.0, "win_rate_low": 0.1})
    assert len(decide(worst, PromotionSettings())[1]) == 3
