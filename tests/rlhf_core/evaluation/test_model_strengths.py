"""Strengths of models: by hand, and on simulated comparisons whose truth is known."""

import math

import numpy as np
import pytest
from scipy.special import expit

from rlhf_core.evaluation.logistic import fit_logistic
from rlhf_core.evaluation.model_strengths import ModelResult, ModelStrength, model_strengths


def by_model(
    results: list[ModelResult], anchors: tuple[str, ...] = ("sft",)
) -> dict[str, ModelStrength]:
    return {each.model_id: each for each in model_strengths(results, anchors, 0.95)}


def compared(policy: str, baseline: str, wins: int, losses: int) -> list[ModelResult]:
    """Return one comparison a prompt; the prompts are the same for every two models."""
    return [
        ModelResult(str(number), policy, baseline, float(number < wins))
        for number in range(wins + losses)
    ]


def simulated(
    truth: dict[str, float],
    pairs: list[tuple[str, str]],
    prompts: int,
    generator: np.random.Generator,
) -> list[ModelResult]:
    """Answers of a model to a prompt have a quality that all its comparisons share."""
    return [
        ModelResult(str(prompt), ours, theirs, float(quality[ours] - quality[theirs] > 0))
        for prompt in range(prompts)
        # Differences of two Gumbel variables are logistic.
        for quality in [{id: value + generator.gumbel() for id, value in truth.items()}]
        for ours, theirs in pairs
    ]


def test_a_policy_and_its_baseline_by_hand():
    """30 of 40: ln 3, and the prior of 1/100 takes less than 0.01 of it."""
    found = by_model(compared("one", "sft", 30, 10))
    assert found["one"].strength == pytest.approx(math.log(3), abs=0.01)
    assert found["one"].win_rate == pytest.approx(0.75, abs=0.002)
    reach = 2.022691 * math.sqrt(40 / 39 / 7.5)
    assert found["one"].low == pytest.approx(math.log(3) - reach, abs=0.02)
    assert found["one"].high == pytest.approx(math.log(3) + reach, abs=0.02)
    sft = found["sft"]
    assert (sft.strength, sft.low, sft.high, sft.win_rate) == (0.0, 0.0, 0.0, 0.5)


def test_strengths_add_up_along_a_chain():
    """Each policy beats the one before with odds of 3: ln 9 and ln 3 above SFT."""
    found = by_model(compared("one", "sft", 30, 10) + compared("two", "one", 30, 10))
    assert found["two"].strength == pytest.approx(math.log(9), abs=0.03)
    assert found["two"].win_rate == pytest.approx(0.9, abs=0.005)
    assert found["two"].anchor_id == "sft"


def test_the_strongest_model_comes_first():
    rows = compared("weak", "sft", 10, 30) + compared("strong", "sft", 30, 10)
    assert [each.model_id for each in model_strengths(rows, ["sft"], 0.95)] == [
        "strong", "sft", "weak",
    ]  # fmt: skip


def test_ties_are_half_a_win_to_each():
    rows = [ModelResult(str(number), "one", "sft", 0.5) for number in range(20)]
    found = by_model(rows)["one"]
    assert found.strength == pytest.approx(0.0, abs=1e-6)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high


def test_models_that_were_never_compared_are_in_parts_of_their_own():
    rows = compared("one", "sft", 30, 10) + compared("other", "other sft", 10, 30)
    found = by_model(rows, ("sft", "other sft"))
    assert {id: each.anchor_id for id, each in found.items()} == {
        "one": "sft",
        "sft": "sft",
        "other": "other sft",
        "other sft": "other sft",
    }
    assert found["other"].strength == pytest.approx(-math.log(3), abs=0.01)
    alone = by_model(compared("one", "sft", 30, 10))
    assert found["one"] == alone["one"]


def test_a_part_without_an_anchor_takes_its_first_model():
    assert by_model(compared("one", "two", 3, 1), ("sft",))["two"].anchor_id == "one"


def test_samples_of_a_prompt_count_as_one():
    once = by_model(compared("one", "sft", 30, 10))["one"]
    thrice = by_model(compared("one", "sft", 30, 10) * 3)["one"]
    assert thrice.strength == pytest.approx(once.strength)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert thrice.prompts == 40


def test_a_model_that_always_wins_has_a_wide_interval():
    found = by_model(compared("one", "sft", 20, 0))["one"]
    assert found.low is not None
    assert found.high is not None
    assert found.strength > 3
    assert found.high - found.low > 4


def test_one_prompt_has_no_interval():
    found = by_model([ModelResult("only", "one", "sft", 1.0)])["one"]
    assert (found.low, found.high) == (None, None)


def test_no_comparisons_have_no_strengths():
    assert model_strengths([], ["sft"], 0.95) == []


def test_intervals_cover_the_truth():
    """Three policies in a chain and across, 55 prompts, 200 times: within 3 standard errors."""
    truth = {"sft": 0.0, "one": 0.6, "two": 1.0, "three": 0.8}
    pairs = [("one", "sft"), ("two", "one"), ("three", "two"), ("two", "sft")]
    generator = np.random.default_rng(1)
    covered = []
    for _ in range(200):
        found = by_model(simulated(truth, pairs, 55, generator))
        for id in ("one", "two", "three"):
            low, high = found[id].low, found[id].high
            assert low is not None
            assert high is not None
            covered.append(low <= truth[id] <= high)
    assert np.mean(covered) > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 200)


def test_the_covariance_of_independent_results_is_the_inverse_information():
    """One coefficient, 400 even results: 1 / (400 · ¼), times 400/399."""
    design, results = np.ones((400, 1)), np.array([1.0, 0.0] * 200)
    fit = fit_logistic(design, results, np.ones(400), np.zeros(1), range(400))
    assert fit.coefficients[0] == pytest.approx(0.0, abs=1e-8)
    assert fit.covariance[0, 0] == pytest.approx(0.01 * 400 / 399)
    assert expit(fit.coefficients[0]) == pytest.approx(0.5)
