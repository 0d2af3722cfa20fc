"""Functions of a user's as judges: verdicts, versions, and every fault in one line."""

import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from judges import Answer, Contest, Opinion, load
from judges.functions.judge import read_return
from judges.panel.judge import Judge
from rlhf_core.config import JudgeSettings
from rlhf_core.errors import ConfigError
from rlhf_core.records import Mode, Outcome, Prompt
from tests.conftest import ROOT
from tests.facts import prompt

HERE = "tests.judges.functions"


def function(name: str, kind: str = "function", **options: Any) -> Judge[Any]:
    named = name if ":" in name else f"{HERE}:{name}"
    return load(JudgeSettings.model_validate({"kind": kind, "function": named, **options}))


def score(name: str, *texts: str, asked: Prompt | None = None, **options: Any) -> list[Opinion]:
    answers = [Answer(asked or prompt(reference_answers=("Blue.",)), text) for text in texts]
    found: Any = function(name, **options)
    return list(found.score(answers))


def test_a_function_scores_by_what_it_takes():
    blue, red = score("closeness", "Blue.", "xyz")
    assert (blue.outcome, blue.score) == (Outcome.SCORED, 1.0)
    assert red.score == 0.0
    (unknown,) = score("closeness", "Blue.", asked=prompt())
    assert (unknown.outcome, unknown.reason) == (Outcome.ABSTAINS, "nothing to compare with")


def test_a_function_is_told_everything_by_name():
    asked = prompt("When?", context="Rome fell.", reference_answers=("476",), mode="text_grounded")
    assert asked.mode is Mode.TEXT_GROUNDED
    found: Any = function("everything")
    (opinion,) = found.score([Answer(asked, "476", is_finished=False)])
    assert opinion.score == 1.0


def test_a_pairwise_function_gives_the_probability_of_the_first():
    found: Any = function("shorter", kind="pairwise_function")
    contests = [Contest(prompt(), "ab", "abc"), Contest(prompt(), "abc", "ab")]
    opinions = found.compare([*contests, Contest(prompt(), "ab", "cd")])
    assert [o.outcome for o in opinions] == [Outcome.FIRST, Outcome.SECOND, Outcome.TIE]
    assert [o.probability for o in opinions] == [1.0, 0.0, 0.5]


def test_arguments_come_from_the_config_and_batches_are_lists():
    assert [o.score for o in score("always", "a", arguments={"score": 0.75})] == [0.75]
    options = {"batched": True, "arguments": {"limit": 4}}
    assert [o.score for o in score("lengths", "ab", "abc", "abcdefg", **options)] == [0.5, 0.75, 1]
    assert [o.score for o in score("Rewards.nested", "a")] == [0.25]


def test_an_exception_on_one_answer_leaves_the_others_their_verdicts():
    opinions = score("raises_on_digits", "a", "12", "")
    assert [o.outcome for o in opinions] == [
        Outcome.SCORED,
        Outcome.UNAVAILABLE,
        Outcome.ABSTAINS,
    ]
    said = rf"{HERE}:raises_on_digits raised KeyError at functions\.py:\d+: '12'"
    assert re.fullmatch(said, opinions[1].reason or "")
    assert opinions[2].reason == "the function returned None"
    batched = score("lengths_of_clean_ones", "ab", "bad", "abc", batched=True)
    assert [o.score for o in batched] == [0.02, None, 0.03]
    assert "ValueError" in (batched[1].reason or "")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("nan", "'nan' of type float, which is not from 0 to 1"),
        ("above", "'1.01' of type float, which is not from 0 to 1"),
        ("below", "'-1e-09' of type float, which is not from 0 to 1"),
        ("text", "'0.5' of type str, which is no number"),
        ("list", "'[0.5]' of type list, which is no number"),
        ("opinion", "an opinion 'scored', neither a number nor `abstains`"),
    ],
)
def test_what_is_no_verdict_is_unavailable_and_refused_before_a_run(value: str, said: str):
    (opinion,) = score("returns", "a", arguments={"value": value})
    assert opinion.outcome is Outcome.UNAVAILABLE
    assert said in (opinion.reason or "")
    with pytest.raises(ConfigError) as refused:
        function("returns", arguments={"value": value}).check()
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_numbers_of_other_libraries_are_numbers():
    for number in (1, True, 1.0, np.float32(1), np.array(1.0), torch.tensor(1.0)):
        assert read_return(number) == 1.0
    for wrong in (np.array([0.5, 0.5]), torch.tensor([0.1, 0.2]), torch.tensor(float("nan")), 1j):
        with pytest.raises(ValueError, match="which is"):
            read_return(wrong)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("no_such_module_at_all:f", {}, "no module 'no_such_module_at_all' on the import path"),
        (f"{HERE}:missing", {}, "functions.py has no 'missing'"),
        ("NOT_A_FUNCTION", {}, "is not a function, but of type float"),
        ("math:sqrt", {}, "has no Python source"),
        ("later", {}, "is async or a generator"),
        ("one_by_one", {}, "is async or a generator"),
        (
            "needs_more",
            {},
            "needs a parameter 'threshold', which nobody passes; it may take answer",
        ),
        ("takes_nothing", {}, "takes nothing of what is judged"),
        ("by_position", {}, "'answer' must be passable by name"),
        ("closeness", {"arguments": {"limit": 1}}, "no parameter 'limit', which `arguments` names"),
        ("closeness", {"arguments": {"answer": 1}}, "which Solon itself passes"),
        ("shorter", {}, "needs a parameter 'first', which nobody passes"),
        ("module_only", {"function": "my_rewards"}, "write it as module:function"),
        (":f", {}, "write it as module:function"),
    ],
)
def test_a_function_that_cannot_judge_is_refused_in_one_line(
    name: str, options: dict[str, Any], said: str
):
    with pytest.raises(ConfigError) as refused:
        function(name, **options).check()
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("single_for_many", "'0.5' of type float, which is no list, though it is `batched`,"),
        ("too_few", "a list of 3, not of 1,"),
    ],
)
def test_a_batch_of_the_wrong_size_has_no_verdict_and_is_refused_before_a_run(name: str, said: str):
    opinions = score(name, "a", "b", batched=True)
    assert {o.outcome for o in opinions} == {Outcome.UNAVAILABLE}
    assert {o.reason for o in opinions} == {f"{HERE}:{name} returned {said}"}
    with pytest.raises(ConfigError) as refused:
        function(name, batched=True).check()
    assert f"returned {said} on an example; return a list that holds" in str(refused.value)


def test_a_function_that_raises_on_the_example_is_said(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        function("raises_always").check()
    assert "on an example; where it raises, there is no verdict" in caplog.text


def versions(folder: Path, *options: dict[str, Any]) -> list[str]:
    """Return judge versions as another process computes them, with a folder on its import path."""
    code = (
        "import json, sys; sys.path.append(sys.argv[1]); from judges import load; "
        "from rlhf_core.config import JudgeSettings; "
        "print(json.dumps([load(JudgeSettings.model_validate({'kind': 'function', **o})).version "
        "for o in json.loads(sys.argv[2])]))"
    )
    command = [sys.executable, "-c", code, str(folder), json.dumps(options)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return list(json.loads(found.stdout))


def test_an_edited_function_is_another_version(tmp_path: Path):
    mine, base = tmp_path / "edited_rewards.py", {"function": "edited_rewards:score"}
    others = [{"arguments": {"answer": 1}}, {"batched": True}, {"revision": "2"}]
    mine.write_text("def score(answer):\n    return 1.0\n")
    before = versions(tmp_path, base, *({**base, **other} for other in others))
    assert len(set(before)) == 4
    assert versions(tmp_path, base) == before[:1]
    mine.write_text("def score(answer):\n    return 0.0\n")
    assert versions(tmp_path, base)[0] not in before


def test_a_module_with_an_error_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_rewards.py").write_text("x = 1\nx.no_such_thing\n")
    (tmp_path / "needy_rewards.py").write_text("import no_such_library\n")
    with pytest.raises(ConfigError, match=r"\(AttributeError at broken_rewards.py:2: 'int'"):
        function("broken_rewards:score").check()
    with pytest.raises(ConfigError, match="imports 'no_such_library', which is not installed"):
        function("needy_rewards:score").check()
