"""A judge of a third party's package, made by following judges/README.md to the letter."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from judges import judge_class, kinds
from judges.brevity import BrevityJudge
from judges.panel import registry
from rlhf_core.errors import ConfigError
from tests.conftest import ROOT

HOW_TO = (ROOT / "judges" / "README.md").read_text()
USE = """
import json
from typer.testing import CliRunner
from flows.cli.main import app
from judges import Answer, load
from rlhf_core.config import JudgeSettings
from tests.facts import prompt
judge = load(JudgeSettings(kind="politeness"))
answers = [Answer(prompt(), text) for text in ("Thank you.", "No.")]
print(json.dumps({
    "scores": [opinion.score for opinion in judge.score(answers)],
    "listed": CliRunner().invoke(app, ["judges", "list", "--json"]).stdout,
    "schema": CliRunner().invoke(app, ["schema"]).stdout,
}))
"""


def files_of_the_how_to() -> dict[str, str]:
    """Return the code of each file that the text names right before a code block."""
    named = re.findall(
        r"`(my-judges/[^`]+)`[^`]*(?:`solon[^`]*`[^`]*)?```\w+\n(.*?)```", HOW_TO, re.S
    )
    return {**dict(named), "my-judges/my_judges/__init__.py": ""}


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Output of a process in which the example's package is installed."""
    folder = tmp_path_factory.mktemp("packages")
    found = files_of_the_how_to()
    assert len(found) == 3
    for name, content in found.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*command, "--target", str(folder / "site"), str(folder / "my-judges")],
        check=True,
        capture_output=True,
    )
    paths = [str(folder / "site"), str(ROOT)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", USE]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return dict(json.loads(ended.stdout))


def test_the_example_of_the_how_to_judges(used: dict[str, Any]):
    assert used["scores"] == [1.0, 0.0]


def test_the_example_is_listed_and_in_the_schema(used: dict[str, Any]):
    assert "Politeness: 1 where the answer holds" in used["listed"]
    assert '"judge_politeness"' in used["schema"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("gone", "no_such_package:Judge", r"'gone' of package .* cannot be loaded .*uninstall"),
        ("lost", "judges.brevity:NoSuchJudge", "'lost' of package .* cannot be loaded"),
        ("base", "judges:PointwiseJudge", "must be a subclass of PointwiseJudge or PairwiseJudge"),
        ("no_class", "judges:load", "must be a subclass"),
        ("other", "judges.brevity:BrevityJudge", "'brevity'; give the file and the entry point"),
    ],
)
def test_a_package_whose_judge_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
):
    point = EntryPoint(name, value, registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "_entry_points", lambda: (point,))
    assert name in kinds()
    with pytest.raises(ConfigError, match=message):
        judge_class(name)


def test_a_package_cannot_take_the_place_of_our_judge(monkeypatch: pytest.MonkeyPatch):
    point = EntryPoint("brevity", "somewhere:else", registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "_entry_points", lambda: (point,))
    assert judge_class("brevity") is BrevityJudge
