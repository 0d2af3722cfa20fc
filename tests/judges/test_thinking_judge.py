"""A local judge that thinks before it names its label."""

from pathlib import Path

import pytest

from judges.language_model.choice import Choice
from judges.language_model.fence import plain_prompt
from judges.language_model.model import LanguageModel, LanguageModelOptions
from judges.panel.ledger import Ledger
from rlhf_core.errors import ConfigError
from tests.rlhf_core.models.thinker import OPENS, SWITCH, write_thinker


def choose(folder: Path, template: str = SWITCH, **options: object) -> Choice:
    settings = {"model": write_thinker(folder, template), **options}
    model = LanguageModel(LanguageModelOptions.model_validate(settings), Ledger())
    model.check([("A", "B")])
    (choice,) = model.choose([plain_prompt("Which one?")], ["A", "B"])
    return choice


@pytest.mark.parametrize("template", [SWITCH, OPENS])
def test_the_label_is_read_after_the_thoughts(tmp_path: Path, template: str):
    """The template may open them. The thought names no label; at its token, B has all the mass."""
    choice = choose(tmp_path, template, max_tokens=4)
    assert choice.probabilities is not None
    assert choice.probabilities["B"] == pytest.approx(1.0, abs=1e-3)


def test_thoughts_that_outlast_their_tokens_are_no_verdict(tmp_path: Path):
    choice = choose(tmp_path, max_tokens=2, thinking_tokens=4)
    assert choice.probabilities is None
    assert "cut off after 6 tokens, before its answer began" in str(choice.record.reason)
    assert "raise thinking_tokens" in str(choice.record.reason)


def test_a_judge_that_does_not_think_names_its_label_at_once(tmp_path: Path):
    choice = choose(tmp_path, thinking=False)
    assert choice.probabilities is not None
    assert choice.probabilities["B"] == pytest.approx(1.0, abs=1e-3)
    assert choice.record.completion_tokens == 0


def test_the_switch_is_part_of_the_question(tmp_path: Path):
    """A reply of the thinking model answers no question of the one that does not think."""
    path = write_thinker(tmp_path)
    hashes = set()
    for thinking in ("auto", True, False):
        options = LanguageModelOptions(model=path, thinking=thinking)
        model = LanguageModel(options, Ledger())
        hashes.add(model._hash(model._choice(plain_prompt("Which one?"), ("A", "B"))))
    assert len(hashes) == 3


def test_a_remote_judge_is_told_where_its_switch_is():
    options = LanguageModelOptions(model="openai:qwen3", thinking=False)
    with pytest.raises(ConfigError, match=r"thinking is for a local model.*chat_template_kwargs"):
        LanguageModel(options, Ledger()).check()
