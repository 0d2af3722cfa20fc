"""The rules of the structure: who imports whom, what runs without what, which files there are."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("flows", "judges", "rlhf_core")  # each may import itself and those after it
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 400, 60


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_imports_run_one_way(path: Path):
    package = path.relative_to(ROOT).parts[0]
    above = PACKAGES[: PACKAGES.index(package)]
    roots = {module.split(".")[0] for module in imported(path)}
    assert not roots & set(above)
    assert "prefect" not in roots or package == "flows"
    assert "duckdb" not in roots or path.parent == ROOT / "rlhf_core" / "store"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_files_and_functions_stay_small(path: Path):
    tree = ast.parse(path.read_text())
    assert len(path.read_text().splitlines()) <= LONGEST_FILE
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, node.name


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name != "__init__.py"], ids=name)
def test_every_file_says_what_it_is_for(path: Path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_every_package_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {name(path.parent).replace("/", ".") for path in SOURCES}
    assert folders == set(project["tool"]["setuptools"]["packages"])


WITHOUT_SERVICES = """
import sys
sys.modules.update(dict.fromkeys(["prefect", "duckdb", "openai", "sentence_transformers"]))
import torch
from rlhf_core.algorithms.online import train_online
from rlhf_core.algorithms.reward_model import score_sequences, train_reward_model
from rlhf_core.algorithms.sft import train_sft
from rlhf_core.config.training import PPOSettings
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.evaluation.win_rate import win_rate
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.device import Compute
from rlhf_core.models.trunk import Role
compute = Compute(torch.device("cpu"), torch.float32, 512, "")
trunk = open_trunk("tiny-random", compute, 2)
trunk.add_role(Role.CRITIC, 1)
trunk.add_role(Role.POLICY, 1)
settings = PPOSettings(steps=1, prompts_per_step=1, samples_per_prompt=2)
sampling = SamplingSettings(max_new_tokens=4)
reward = lambda rollouts: torch.ones(len(rollouts))
print(len(list(train_online(trunk, [(5, 6)], reward, settings, sampling, 1))))
"""


def test_the_core_trains_where_neither_prefect_nor_duckdb_is_installed():
    command = [sys.executable, "-c", WITHOUT_SERVICES]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ended.stdout == "1\n", ended.stderr


def tree_in_readme() -> dict[str, str]:
    """Every path of the README's file tree with what is said of it; folders end in a slash."""
    block = (ROOT / "README.md").read_text().split("```tree\n")[1].split("```")[0]
    found: dict[str, str] = {}
    parents: list[str] = []
    for line in block.splitlines():
        words = re.match(r"(?P<indent> *)(?P<name>\S+)(?: {2,}(?P<what>\S.*))?$", line)
        assert words, line
        depth = len(words["indent"]) // 2
        parents = [*parents[:depth], words["name"]]
        found["".join(parents)] = words["what"] or ""
    return found


def test_the_readme_names_every_file_and_no_other():
    """Tests are named by folder; everything else by file."""
    kept = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    ).stdout.split()
    if not kept:
        pytest.skip("not a git checkout")
    wanted = {
        file
        for file in kept
        if not file.startswith("tests/") and (ROOT / file).exists() and not _is_empty(file)
    }
    named = tree_in_readme()
    files = {path for path in named if not path.endswith("/") and not path.startswith("tests/")}
    assert files == wanted
    folders = {path for path in named if path.startswith("tests/") and path.endswith("/")}
    assert folders == {f"{Path(file).parent}/" for file in kept if file.startswith("tests/")}
    assert [path for path, what in named.items() if not what and not path.endswith("/")] == []


def _is_empty(file: str) -> bool:
    return (ROOT / file).stat().st_size == 0
