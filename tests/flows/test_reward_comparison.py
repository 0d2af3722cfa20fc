"""A new reward model that does not beat the last one trains no policy."""

import json
import shutil
from pathlib import Path

import pytest

from flows.cycle import versions
from flows.run import run_cycles
from rlhf_core.config import Config
from rlhf_core.store import Store
from tests.flows.conftest import smoke
from tests.flows.test_pipeline import WINS_ALWAYS


def test_the_rule_changes_no_reward_model(tmp_path: Path):
    """It decides after the training, so an edit of it trains nothing again."""
    plain, strict = smoke(tmp_path), smoke(tmp_path, "reward_model.must_beat=better")
    assert versions.reward(plain, "sft", ["r"]).id == versions.reward(strict, "sft", ["r"]).id


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_a_refused_reward_model_leaves_the_policy_to_the_last_one(finished: Config, tmp_path: Path):
    """A tiny model is never surely better, so the strictest rule refuses the second one."""
    shutil.copytree(finished.store.parent, tmp_path / "copy")
    config = smoke(tmp_path / "copy", *WINS_ALWAYS, "reward_model.must_beat=better")
    run_cycles(config, 2, is_quiet=True)
    store = Store(config.store)
    first, second = store.query(
        "SELECT * FROM reward_comparisons WHERE line = ? ORDER BY cycle", [config.name]
    )
    assert (first["accepted"], first["baseline_id"]) == (True, None)
    assert first["reason"] == "it is the line's first"
    assert (second["accepted"], second["baseline_id"]) == (False, first["model_id"])
    assert second["prompts"] > 0
    assert 0 <= second["accuracy_low"] <= second["accuracy"] <= second["accuracy_high"] <= 1
    recipes = store.query(
        "SELECT recipe FROM models JOIN promotions ON policy_id = models.id WHERE line = ? "
        "ORDER BY cycle",
        [config.name],
    )
    used = [json.loads(row["recipe"])["reward_model"] for row in recipes]
    assert used == [first["model_id"]] * 2
    assert run_cycles(config, 2, is_quiet=True) == {}
