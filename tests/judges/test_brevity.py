import pytest

from judges import load
from judges.panel.judge import Answer
from rlhf_core.config import JudgeSettings
from rlhf_core.records import Outcome
from tests.facts import prompt


def test_shorter_scores_higher_and_nothing_is_no_answer():
    judge = load(JudgeSettings(kind="brevity"))
    texts = ["one", " ".join(["word"] * 16), " ".join(["word"] * 48), " "]
    *scored, empty = judge.score([Answer(prompt(), text) for text in texts])
    assert [opinion.score for opinion in scored] == pytest.approx([16 / 17, 0.5, 0.25])
    assert empty.outcome is Outcome.ABSTAINS
