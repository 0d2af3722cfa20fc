"""A jury learns whom to believe from votes alone, by the command that trains judges."""

import json
from pathlib import Path

import pytest

from judges import Contest, load
from judges.training.jury import train_jury
from rlhf_core.config import JudgeSettings
from rlhf_core.errors import ConfigError
from rlhf_core.records import Outcome
from tests.facts import prompt

MEMBERS = "judges=[{kind: brevity}, {kind: brevity, name: b, typical_words: 3}, {kind: verifier}]"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """The shorter answer is always better, and verifier, without references, never votes."""
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"prompt": f"Question {n}?", "chosen": f"yes {n}", "rejected": f"yes {n} and so on"}
        for n in range(8)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_what_was_learnt_is_what_the_jury_then_decides_by(pairs: Path, tmp_path: Path):
    found = train_jury([pairs], [MEMBERS], tmp_path / "jury")
    assert found["contests"] == 16  # eight pairs in both orders
    assert found["first_is_better"] == pytest.approx(0.5)
    assert all(share > 0.8 for share in found["says_first_when_it_is"].values())
    settings = {
        "kind": "jury",
        "judges": [{"kind": "brevity"}, {"kind": "brevity", "name": "b", "typical_words": 3}],
        "method": "dawid_skene",
        "reliability": found["written"],
    }
    jury = load(JudgeSettings.model_validate(settings))
    jury.check()
    (opinion,) = jury.compare([Contest(prompt("Why?"), "short", "rather longer than that")])
    assert opinion.outcome is Outcome.FIRST
    assert opinion.probability > 0.9


def test_members_are_computed_on_the_device_that_is_named(pairs: Path, tmp_path: Path):
    members = "judges=[{kind: pairwise, model: tiny-random}, {kind: brevity}]"
    with pytest.raises(ConfigError, match=r"compute.device = 'abacus'"):
        train_jury([pairs], [members, "compute.device=abacus"], tmp_path / "jury")


def test_a_folder_of_something_else_is_left_alone(pairs: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"holds no reliability\.json"):
        train_jury([pairs], [MEMBERS], tmp_path)
