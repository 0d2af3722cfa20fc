import logging

import pytest

from rlhf_core.config.evaluation import EvaluationSettings, PromotionSettings


def test_a_config_from_when_intervals_were_bootstrapped_is_read(caplog: pytest.LogCaptureFixture):
    old = {"judges": [{"kind": "brevity"}], "bootstrap_resamples": 200}
    with caplog.at_level(logging.WARNING):
        found = EvaluationSettings.model_validate(old)
    assert found == EvaluationSettings.model_validate({"judges": old["judges"]})
    assert "evaluation.bootstrap_resamples has no effect" in caplog.text


def test_a_config_from_when_held_out_sets_were_spent_is_read(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        found = PromotionSettings.model_validate({"decisions_per_holdout": 5})
    assert found == PromotionSettings()
    assert "promotion.decisions_per_holdout has no effect" in caplog.text


def test_the_champion_is_whom_to_beat_unless_the_config_says_otherwise():
    found = EvaluationSettings.model_validate({"judges": [{"kind": "brevity"}]})
    assert found.baseline == "champion"
