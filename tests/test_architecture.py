"""The rules of the structure: who imports whom, what runs without what, which files there are."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("flows", "judges", "rlhf_core")  # each may import itself and those after it
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 400, 60


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def modules(path: Path) -> tuple[str, ...]:
    """The modules of ours that a file imports, in whichever way it writes it."""
    every: list[str] = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [module if is_module(module) else node.module for module in found]
        else:
            continue
        every += [module for module in found if module.split(".")[0] in PACKAGES]
    return tuple(every)


@cache
def is_module(dotted: str) -> bool:
    path = ROOT.joinpath(*dotted.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


@cache
def folder(module: str) -> str:
    path = ROOT.joinpath(*module.split("."))
    return name(path if path.is_dir() else path.parent)


def arrows() -> dict[str, set[str]]:
    """Which folders each folder imports from; the face of judges/ only re-exports."""
    found: dict[str, set[str]] = {}
    for path in SOURCES:
        if name(path) != "judges/__init__.py":
            into = found.setdefault(name(path.parent), set())
            into |= {folder(module) for module in modules(path)} - {name(path.parent)}
    return found


def test_imports_run_one_way():
    for path in SOURCES:
        package = path.relative_to(ROOT).parts[0]
        above = PACKAGES[: PACKAGES.index(package)]
        roots = {module.split(".")[0] for module in imported(path)}
        assert not roots & set(above), name(path)
        assert "prefect" not in roots or package == "flows", name(path)
        assert "duckdb" not in roots or ROOT / "rlhf_core" / "store" in path.parents, name(path)


STAGES_ARE_FOR = ("flows/pipeline.py", "flows/alone.py", "flows/run.py", "flows/schedule.py")
WALLS = {
    "rlhf_core/models": ("rlhf_core/algorithms", "rlhf_core/sampling"),
    "rlhf_core/sampling": ("rlhf_core/algorithms",),
    "rlhf_core/encoders": ("rlhf_core/algorithms",),
    "rlhf_core/evaluation": ("rlhf_core/algorithms",),
    "judges/panel": ("judges",),
    "judges/language_model": ("judges",),
    "judges/verifiers": ("judges",),
    "judges/bench": ("judges",),
}
"""What the files of a folder may not import: a helper imports no judge, a model no algorithm."""


@pytest.mark.parametrize("wall", WALLS)
def test_walls_between_folders(wall: str):
    inside = [path for path in SOURCES if ROOT / wall in path.parents]
    assert inside
    crossed = {folder(module) for path in inside for module in modules(path)}
    assert not crossed & set(WALLS[wall])


def test_only_what_runs_stages_imports_them():
    importing = {name(path) for path in SOURCES if "flows/stages" in map(folder, modules(path))}
    others = {path for path in importing if not path.startswith(("flows/stages/", "flows/cli/"))}
    assert others == set(STAGES_ARE_FOR) & importing


def test_folders_import_each_other_in_no_circle():
    left = arrows()
    while free := [each for each, into in left.items() if not any(other in left for other in into)]:
        for each in free:
            del left[each]
    assert left == {}


def test_no_module_is_private():
    private = {name(path) for path in SOURCES if path.stem.startswith("_")}
    assert {Path(path).stem for path in private} <= {"__init__", "__main__"}


def test_every_file_of_judges_is_a_judge():
    for path in (ROOT / "judges").glob("[!_]*.py"):
        assigned = [node for node in parsed(path).body if isinstance(node, ast.Assign)]
        targets = [target for node in assigned for target in node.targets]
        assert "JUDGE" in [target.id for target in targets if isinstance(target, ast.Name)], path


def test_commands_load_neither_prefect_nor_torch_before_they_run():
    """A file under flows/cli imports them inside its functions, so that help stays quick."""
    for path in (ROOT / "flows" / "cli").glob("*.py"):
        roots = set()
        for node in parsed(path).body:
            if isinstance(node, ast.Import):
                roots |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                roots.add(node.module.split(".")[0])
        assert not roots & {"prefect", "torch", "transformers"}, path


def test_files_and_functions_stay_small():
    for path in SOURCES:
        assert len(path.read_text().splitlines()) <= LONGEST_FILE, name(path)
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno
                assert length < LONGEST_FUNCTION, f"{name(path)}: {node.name}"


def test_every_file_says_what_it_is_for():
    assert [name(path) for path in SOURCES if not ast.get_docstring(parsed(path))] == []


def test_every_package_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {name(path.parent).replace("/", ".") for path in SOURCES}
    assert folders == set(project["tool"]["setuptools"]["packages"])


WITHOUT_SERVICES = """
import sys
sys.modules.update(dict.fromkeys(["prefect", "duckdb", "openai", "sentence_transformers"]))
import torch
from rlhf_core.algorithms.online import train_online
from rlhf_core.algorithms.reward_model import train_reward_model
from rlhf_core.algorithms.scoring import score_sequences
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
    """Every folder of the README's tree with what is said of it."""
    block = (ROOT / "README.md").read_text().split("```tree\n")[1].split("```")[0]
    found: dict[str, str] = {}
    parents: list[str] = []
    for line in block.splitlines():
        words = re.match(r"(?P<indent> *)(?P<name>\S+)/ +(?P<what>\S.*)$", line)
        assert words, line
        parents = [*parents[: len(words["indent"]) // 2], words["name"]]
        found["/".join(parents)] = words["what"]
    return found


def test_the_tree_of_the_readme_is_that_of_the_packages():
    """Each folder with the first line of its `__init__.py`."""
    said = {
        name(path.parent): (ast.get_docstring(parsed(path)) or "").split("\n")[0]
        for path in SOURCES
        if path.name == "__init__.py"
    }
    named = tree_in_readme()
    assert named.pop("tests")
    assert named.pop("deploy")
    assert named == said
